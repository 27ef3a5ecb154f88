"""curate: everything into one DuckDB store, where every decision can be read.

schema.sql         tables and views; its comments are the documentation
build.py           builds the store: loads it, then fills it with what is found
scan.py            reads every trace once, in processes, and keeps what it read
quality.py         what is measured of one trace: checks, and the signature by which copies are found
phrases.py         questions as they are compared: words, keys, numbers, templates
duplicates.py      copies of traces and of problems
contamination.py   problems that an evaluation asks too
benchmarks.py      files of questions that no problem may be
policies/          which traces a student may see, one query each
policies.py        runs one of them, within its caps
funnel.py          how many were kept, and why the others were not
store.py           opens the store for reading; owns duckdb
inspect.py         what `distill sql` and `distill show` print
"""
