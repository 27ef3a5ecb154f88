-- How long the teacher's traces are, kept and rejected ones: 24 bins of equal width, each by where it starts.
WITH ends AS (
    SELECT min(completion_tokens) AS low, (max(completion_tokens) + 1 - low) / 24 AS width FROM judged
)
SELECT
    bin, low + width * bin AS tokens, width,
    count(*) FILTER (reason IS NULL) AS kept, count(*) FILTER (reason IS NOT NULL) AS rejected
FROM (SELECT *, floor((completion_tokens - low) / width)::INTEGER AS bin FROM judged, ends)
GROUP BY low, width, bin
ORDER BY bin
