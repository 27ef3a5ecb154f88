-- Every finished chain of thought, right or wrong, but no copies and nothing that an evaluation asks: the baseline to beat.
-- OpenThoughts3 (arXiv 2506.04178) found in more than a thousand runs no answer filter that beat keeping everything; measure
-- it against `verified`.
SELECT id FROM judged
WHERE finish_reason = 'stop' AND format = 'ok' AND duplicate_of IS NULL AND NOT contaminated
