"""export and tokenize: what a student may see, first as a data set, then as token ids.

export.py         the traces that a policy picks, as a Hugging Face data set
formats.py        the same rows as other trainers read them
push.py           to a hub, by hand
card.py           what its card says; card.md.jinja words it
tokenize.py       ids and labels for one student
examples.py       the rows of ids that tokenize writes
left_out.py       the rows that cannot be trained, and how many are too many
chat.py           how one student is asked, and how it stops
template_checks.py  what its template must not do
audit.py          the proof, on those ids, of what the student is taught
probe.py          one prompt by which whatever serves it is known to ask as it was trained
"""
