"""report: what came of it, as one page, one table and one JSON file, all drawn from the same `Summary`.

summary.py   collects every number from data/
table.py     the closing table in the terminal
page.py      the page, and the policy under which it is read
browser.py   its trace browser: a seeded draw from the store and of the evaluation's answers
markup.py    what others wrote, made visible and harmless
charts.py    its figures, as inline SVG
"""
