"""export and tokenize: what a student may see, first as a data set, then as token ids.

export.py         the traces that a policy picks, as a Hugging Face data set
formats.py        the same rows as other trainers read them
push.py           to a hub, by hand
card.py           what its card says; card.md.jinja words it
tokenize.py       ids and labels for one student
examples.py       the rows of ids that tokenize writes
chat.py           how one student is asked, and how it stops
audit.py          the proof, on those ids, of what the student is taught
"""
