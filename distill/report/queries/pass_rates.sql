-- The problems that the teacher was asked, by source and by how often it is right on them.
SELECT
    source, count(*) AS problems, avg(pass_rate) AS pass_rate,
    count(*) FILTER (correct = 0) AS never,
    count(*) FILTER (correct > 0 AND correct <= n / 2) AS up_to_half,
    count(*) FILTER (correct > n / 2 AND correct < n) AS more_than_half,
    count(*) FILTER (correct = n) AS always
FROM pass_rates
GROUP BY source
ORDER BY source
