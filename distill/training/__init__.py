"""train: one student, from proven token ids to the checkpoint that ships.

sft.py            TRL's SFTTrainer on ids and labels as they are, full or LoRA
preflight.py      rows, proof and base belong together, before a model is loaded
presets.py        what params leave out, by the number of rows and the kind of student
device.py         attention of the machine at hand, and how the rows of a step are dealt
rows.py           the rows as TRL reads them, and their order
packing.py        several whole rows in one, without padding
architecture.py   the base's architecture, with another context where asked
trainer.py        SFTTrainer with its own order of rows and a lean loss on the CPU
resume.py         checkpoints of a run, and which of them is whole
watch.py          progress, loss history, and the stop at a loss that is no number or diverges
figures.py        tokens per second, share without padding, FLOPs utilisation, memory
quantized.py      QLoRA: the base in 4 bits while it trains, and the way back to the published one
merge.py          whole weights in bf16, and how far they are from the model that was trained
checkpoint.py     the folder that ships
shapes.py         names and sizes of what was written, against the base's
launch.py         the same stage in several processes, by accelerate's launcher
processes.py      one process among several: whether it writes, and the whole model gathered
"""
