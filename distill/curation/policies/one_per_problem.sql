-- One right chain of each problem, the first that was sampled: every problem counts once, however easy it is, and chains
-- keep the lengths that the teacher gives them, which `shortest_correct` would shift.
SELECT id FROM kept
QUALIFY row_number() OVER (PARTITION BY problem_id ORDER BY sample_index, id) = 1
