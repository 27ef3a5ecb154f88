-- What a kept trace and a point gained cost. Hours and money of the traces are those of the last run that asked the teacher,
-- an answer of it standing for every answer; a student adds its own training. NULL without prices, or without a gain.
WITH run AS (
    SELECT
        max(value) FILTER (name = 'wall_s') / nullif(max(value) FILTER (name = 'sampled'), 0) / 3600 AS hours_per_answer,
        max(value) FILTER (name = 'prompt_tokens') / nullif(max(value) FILTER (name = 'sampled'), 0) AS prompt_tokens,
        max(value) FILTER (name = 'completion_tokens') / nullif(max(value) FILTER (name = 'sampled'), 0) AS completion_tokens
    FROM metrics WHERE stage = 'generate'
), traces AS (
    SELECT count(*) AS traces, count(*) FILTER (reason IS NULL) AS kept, sum(completion_tokens)::BIGINT AS tokens FROM judged
), teacher AS (
    SELECT
        traces, kept, tokens, traces * hours_per_answer AS hours,
        hours * usd_per_hour + traces / 1e6 * (prompt_tokens * usd_per_million_prompt_tokens
            + completion_tokens * usd_per_million_completion_tokens) AS usd
    FROM traces, run, prices
), training AS (
    SELECT student, place, coalesce(max(value) FILTER (name = 'seconds'), 0) / 3600 AS hours
    FROM models LEFT JOIN metrics ON stage = 'train_' || student WHERE role = 'student' GROUP BY ALL
), gains AS (
    SELECT s.student, 100 * avg(s.correct / s.n - b.correct / b.n) AS points
    FROM questions s JOIN questions b USING (student, benchmark, problem_id)
    WHERE s.role = 'student' AND b.role = 'base' AND benchmark = 'all' GROUP BY s.student
)
SELECT
    student, kept, tokens / nullif(kept, 0) AS tokens_per_kept_trace, teacher.hours AS teacher_hours,
    training.hours AS training_hours, nullif(usd + training.hours * usd_per_hour, 0) AS usd,
    nullif(usd, 0) / nullif(kept, 0) AS usd_per_kept_trace, points,
    CASE WHEN points > 0 THEN (teacher.hours + training.hours) / points END AS hours_per_point,
    CASE WHEN points > 0 THEN nullif(usd + training.hours * usd_per_hour, 0) / points END AS usd_per_point
FROM training JOIN gains USING (student), teacher, prices
ORDER BY place
