"""curate: everything into one DuckDB store, where every decision can be read.

schema.sql    tables and views; its comments are the documentation
store.py      builds the store in one bulk load, opens it for reading
funnel.py     how many were kept, and why the others were not
policies/     which traces a student may see, one query each
policies.py   runs one of them
inspect.py    what `distill sql` and `distill show` print
"""
