-- The shortest right chain of each problem. Students of 3B and less can get worse from long chains (arXiv 2502.12143,
-- arXiv 2506.07712), and short ones cost less to train on and to serve.
SELECT id FROM kept
QUALIFY row_number() OVER (PARTITION BY problem_id ORDER BY completion_tokens, id) = 1
