"""evaluate: base, student and teacher in one harness, every sample kept.

evaluate.py    samples a model through generation, grades it with verification, writes its scores
statistics.py  what the scores amount to, and how sure one can be
"""
