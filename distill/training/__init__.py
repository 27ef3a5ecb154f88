"""train: one student, from proven token ids to the checkpoint that ships.

sft.py         TRL's SFTTrainer on ids and labels as they are, full or LoRA
device.py      precision and micro-batch of the machine at hand
trainer.py     SFTTrainer with its own order of rows and a lean loss on the CPU
rows.py        the rows as TRL reads them, and their order
resume.py      checkpoints of a run, and which of them is whole
watch.py       progress, loss history, and the stop at the first loss that is no number
merge.py       whole weights in bf16, and how far they are from the model that was trained
checkpoint.py  the folder that ships
shapes.py      names and sizes of what was written, against the base's
launch.py      the same stage in several processes, by accelerate's launcher
processes.py   one process among several: whether it writes, and the whole model gathered
"""
