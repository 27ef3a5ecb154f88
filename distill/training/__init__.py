"""train: one student, from token ids to the checkpoint that ships.

sft.py         TRL's SFTTrainer on audited ids and labels, full or LoRA, resumable
watch.py       progress, loss history, and the stop at the first loss that is no number
checkpoint.py  the folder that ships: merged, in bf16, proven against the model that was trained
"""
