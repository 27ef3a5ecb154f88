-- The longest right chain of each problem. Larger students gain from long chains what smaller ones lose by them (arXiv
-- 2502.12143). Looping chains are long too, so those are left out.
SELECT id FROM kept WHERE NOT list_contains(concerns, 'repetition')
QUALIFY row_number() OVER (PARTITION BY problem_id ORDER BY completion_tokens DESC, id) = 1
