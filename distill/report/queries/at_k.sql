-- With k samples a problem: pass@k (one of them is right), maj@k (the most frequent answer is; what is no answer does not
-- vote, ties count by their share, right answers are one whatever their spelling), G-Pass@k (at least half of them are,
-- all of them are, and the mean from half to all, mG-Pass@k). Only for k that every problem has samples for.
WITH votes AS (
    SELECT
        model, role, place, benchmark, problem_id, list(verdict = 'correct' ORDER BY sample_index) AS rights,
        list(CASE WHEN verdict NOT IN ('no_answer', 'truncated') THEN coalesce(extracted, '') END ORDER BY sample_index) AS answers
    FROM samples GROUP BY ALL
), sizes AS (
    SELECT benchmark, min(len(rights)) AS fewest FROM votes GROUP BY benchmark
)
SELECT
    model, role, benchmark, k,
    pass_at_k(list(q.correct ORDER BY problem_id), list(q.n ORDER BY problem_id), k) AS pass,
    avg(maj_at_k(answers, rights, k)) AS maj,
    g_pass_at_k(list(q.correct ORDER BY problem_id), list(q.n ORDER BY problem_id), k, 0.5) AS half,
    g_pass_at_k(list(q.correct ORDER BY problem_id), list(q.n ORDER BY problem_id), k, 1.0) AS every,
    mg_pass_at_k(list(q.correct ORDER BY problem_id), list(q.n ORDER BY problem_id), k) AS mean_of_half
FROM votes JOIN questions q USING (model, role, place, benchmark, problem_id) JOIN sizes USING (benchmark), (VALUES (1), (2), (4), (8), (16), (32), (64)) AS ks(k)
WHERE k <= fewest AND fewest > 1
GROUP BY model, role, place, benchmark, k
ORDER BY benchmark = 'all', benchmark, place, k
