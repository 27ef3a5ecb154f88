-- Every trace that is right, holds a closed chain of thought, and is no copy: rejection sampling as in DeepSeek-R1's
-- paper (arXiv 2501.12948, section 2.3.3), several right answers to a problem included.
SELECT id FROM judged WHERE reason IS NULL
