-- pass@1 by how often the teacher is right on the same problem. Its own row is no finding: it is what sorts them.
WITH solved AS (
    SELECT
        benchmark, problem_id,
        CASE WHEN correct = 0 THEN 0 WHEN correct = n THEN 3 WHEN correct <= n / 2 THEN 1 ELSE 2 END AS step
    FROM questions WHERE role = 'teacher' AND benchmark = 'all'
)
SELECT
    ['never', 'in up to half', 'in more than half', 'always'][step + 1] AS teacher_right, model, role,
    unnest(estimate(list(correct ORDER BY problem_id), list(n ORDER BY problem_id)))
FROM questions JOIN solved USING (benchmark, problem_id)
GROUP BY step, model, role, place
ORDER BY step, place
