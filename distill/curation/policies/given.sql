-- Responses that came with their problems (writing, facts, translation: 200,000 of R1's 800,000 samples, arXiv 2501.12948,
-- section 2.3.3), less those that an evaluation asks and those that another problem asks too.
SELECT id FROM given WHERE reason IS NULL
