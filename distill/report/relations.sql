-- What the report's queries ask, beside the store (distill/curation/schema.sql), which is attached and searched too.
-- Everything here is made anew each time from data/scores/, data/metrics/ and params.yaml; `distill sql` asks it as well.
--
--   models ──< scores     one row a sample: what a model answered, and the verdict
--              samples    the same, every row once more for the benchmark `all`: every problem of every benchmark
--              questions  counts per problem: the unit of all statistics, since samples of one problem depend on each other
--   metrics               what the stages measured of their runs, a row a number
--   losses                the training loss of each student
--   prices                what an hour of the machine and a million tokens cost

-- ('tiny_qwen', 'student', 'tiny_qwen', 2), ('tiny_qwen_base', 'base', 'tiny_qwen', 1), ('teacher', 'teacher', NULL, 0)
CREATE TABLE models (
    model   VARCHAR PRIMARY KEY,
    role    VARCHAR NOT NULL,  -- teacher | base | student
    student VARCHAR,           -- whose base it is; a student is its own
    place   INTEGER NOT NULL   -- in the order of params.yaml
);

-- ('generate', 'wall_s', 105.3), ('train_tiny_qwen', 'parity.mean_nats', 0.0004)
CREATE TABLE metrics (stage VARCHAR NOT NULL, name VARCHAR NOT NULL, value DOUBLE NOT NULL);

-- ('tiny_qwen', 10, 1.31): nats per trained token
CREATE TABLE losses (student VARCHAR NOT NULL, step INTEGER NOT NULL, loss DOUBLE NOT NULL);

CREATE TABLE prices (usd_per_hour DOUBLE, usd_per_million_prompt_tokens DOUBLE, usd_per_million_completion_tokens DOUBLE);

-- The rows of data/scores/<model>/scores.parquet.
CREATE TABLE scores AS SELECT * EXCLUDE (schema_version) FROM read_parquet(getvariable('score_files'));

-- An abstention: something was answered, and the verifier does not say whether it is right.
CREATE MACRO abstains(verdict) AS verdict NOT IN ('correct', 'incorrect', 'no_answer', 'truncated');

CREATE VIEW samples AS
WITH asked AS (
    SELECT s.*, role, student, place, p.verifier
    FROM scores s JOIN models USING (model) LEFT JOIN problems p ON p.id = s.problem_id
)
SELECT * FROM asked UNION ALL SELECT * REPLACE ('all' AS benchmark) FROM asked;

CREATE VIEW questions AS
SELECT
    model, role, student, place, benchmark, problem_id, any_value(source) AS source, any_value(domain) AS domain,
    count(*)::INTEGER AS n,
    count(*) FILTER (verdict = 'correct')::INTEGER AS correct,
    count(*) FILTER (abstains(verdict))::INTEGER AS abstained,
    count(*) FILTER (verdict = 'no_answer')::INTEGER AS no_answer,
    count(*) FILTER (verdict = 'truncated')::INTEGER AS truncated,
    count(*) FILTER (looped)::INTEGER AS looped,
    sum(completion_tokens)::BIGINT AS tokens
FROM samples GROUP BY ALL;
