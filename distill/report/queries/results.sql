-- pass@1: the mean over problems of the share of samples that are right, with its standard error and 95 % interval, both
-- clustered by problem. `run_se` is what asking the same problems again would change, and no more. `at_most` counts
-- every abstention of the verifier as right; no answer, cut off, abstained and looped are shares of all samples.
SELECT
    model, role, benchmark, model || ', ' || benchmark AS bar,
    unnest(estimate(list(correct ORDER BY problem_id), list(n ORDER BY problem_id))),
    avg((correct + abstained) / n) AS at_most,
    sum(no_answer) / sum(n) AS no_answer, sum(truncated) / sum(n) AS truncated, sum(abstained) / sum(n) AS abstained,
    sum(looped) / sum(n) AS looped, sum(tokens) / sum(n) AS tokens
FROM questions
GROUP BY model, role, place, benchmark
ORDER BY place, benchmark = 'all', benchmark
