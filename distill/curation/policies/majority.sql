-- The chains whose final answer more than half of a problem's answers agree on, whatever the verdict: for problems whose
-- references are missing or doubtful (self-consistency, arXiv 2203.11171). Answers are compared in their normal spelling;
-- copies vote, since they were sampled, and are not picked.
WITH votes AS (
    SELECT id, problem_id, format = 'ok' AND duplicate_of IS NULL AND NOT contaminated AS fit,
        coalesce(final_answer, extracted) AS said
    FROM judged WHERE answered AND said IS NOT NULL
), tally AS (
    SELECT problem_id, said, count(*) AS n FROM votes GROUP BY problem_id, said
)
SELECT id
FROM votes
JOIN tally USING (problem_id, said)
JOIN (SELECT problem_id, count(*) AS n_votes FROM votes GROUP BY problem_id) USING (problem_id)
WHERE fit AND n_votes >= 3 AND 2 * n > n_votes
