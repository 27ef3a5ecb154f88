-- pass@1 had the answers been cut at fewer tokens: computed from the samples that were drawn under the full budget, an
-- answer longer than the cut counting as wrong. A model that knows of its budget might do better.
WITH cuts AS (
    SELECT unnest([ceil(longest * i / 12)::INTEGER for i in range(1, 13)]) AS budget
    FROM (SELECT max(completion_tokens) AS longest FROM scores)
), cut AS (
    SELECT model, role, place, benchmark, budget, problem_id, avg((verdict = 'correct' AND completion_tokens <= budget)::INTEGER) AS share
    FROM samples, cuts GROUP BY ALL
)
SELECT model, role, benchmark, budget, avg(share) AS mean
FROM cut
GROUP BY model, role, place, benchmark, budget
ORDER BY benchmark = 'all', benchmark, place, budget
