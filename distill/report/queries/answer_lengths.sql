-- Tokens of an answer, chain included, of right ones and of the others.
SELECT
    model, role, if(verdict = 'correct', 'right', 'not right') AS outcome, count(*) AS samples,
    quantile_cont(completion_tokens, 0.1) AS p10, median(completion_tokens) AS p50,
    quantile_cont(completion_tokens, 0.9) AS p90, max(completion_tokens) AS longest
FROM samples
WHERE benchmark = 'all'
GROUP BY model, role, place, outcome
ORDER BY place, outcome DESC
