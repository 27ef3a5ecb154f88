-- Every trace that is right, holds one closed chain of thought, and is no copy of another: rejection sampling as
-- DeepSeek-R1 did for its students (arXiv 2501.12948, section 2.3.3). Several right answers to a problem all stay, as there.
SELECT id FROM kept
