-- One right chain of each problem: the longest for one problem in five, the shortest for the others. Students of 3B and less
-- learn more from long and short chains together than from long ones alone (Mix Distillation, arXiv 2502.12143); the fifth is
-- this file's choice, so copy it and measure yours. Which problems it is, is a draw by their ids: it stays when others come.
SELECT id FROM (
    SELECT *, md5(problem_id) < '3333' AS long FROM kept WHERE NOT list_contains(concerns, 'repetition')
)
QUALIFY row_number() OVER (PARTITION BY problem_id ORDER BY if(long, -completion_tokens, completion_tokens), id) = 1
