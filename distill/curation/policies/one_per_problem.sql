-- One right chain of each problem, the first that was sampled: problems count equally, however easy they are.
SELECT id FROM judged WHERE reason IS NULL
QUALIFY row_number() OVER (PARTITION BY problem_id ORDER BY sample_index, id) = 1
