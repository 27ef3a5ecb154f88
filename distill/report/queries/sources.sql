-- pass@1 by the source of the problems within each benchmark.
SELECT
    benchmark, domain, source, model, role,
    unnest(estimate(list(correct ORDER BY problem_id), list(n ORDER BY problem_id)))
FROM questions
WHERE benchmark <> 'all'
GROUP BY benchmark, domain, source, model, role, place
ORDER BY benchmark, domain, source, place
