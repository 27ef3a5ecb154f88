-- The shortest right chain of each problem. Students of 3B and less can get worse from long chains (arXiv 2502.12143).
SELECT id FROM judged WHERE reason IS NULL
QUALIFY row_number() OVER (PARTITION BY problem_id ORDER BY completion_tokens, id) = 1
