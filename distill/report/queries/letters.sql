-- Multiple choice: how often each letter is given and how often it is right, in shares of all samples. A model that
-- prefers a letter shows here.
WITH choices AS (
    SELECT model, place, benchmark, upper(extracted) AS given, upper(answer) AS gold
    FROM samples WHERE verifier = 'choice' AND benchmark <> 'all'
), letters AS (
    SELECT DISTINCT benchmark, gold AS letter FROM choices
)
SELECT
    benchmark, model, letter, count(*) FILTER (given = letter) / count(*) AS given,
    count(*) FILTER (gold = letter) / count(*) AS gold
FROM choices JOIN letters USING (benchmark)
GROUP BY benchmark, model, place, letter
ORDER BY benchmark, place, letter
