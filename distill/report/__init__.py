"""report: what came of it, as one page, one table and one JSON file, all drawn from the same `Summary`.

summary.py   collects every number from data/
table.py     the closing table in the terminal
page.py      the page, with examples from the store
charts.py    its figures, as inline SVG
"""
