-- The store: everything the pipeline knows of its problems, its traces and what was found of them.
--
-- Nothing is filtered away: a rejected trace stays, with the reason. The file is derived (`dvc repro curate` rebuilds it)
-- and read-only to all else. Questions start at the views below the tables:
--
--   problems ──< traces ─── texts          a problem has many traces; their words are apart, so that questions about
--                   └────── verdicts       numbers never touch them. One verdict per trace, by the present verifier.
--
--   judged       every trace with its source, its verdict, the steps it passed, and the one reason against it
--   kept         those with no reason against them: what the policy `verified` exports
--   rejected     the others
--   funnel       from problems to kept traces: what enters each step, what each reason takes out
--   cost         the same by source, and tokens per kept trace
--   pass_rates   how often the teacher is right on each problem
--   runs         how the traces were asked for: model, revision, engine, budget

-- ------------------------------------------------------------------------------------------------------------ tables

-- What made this store: the version of the rows, those of the libraries, and the sha256 of each input.
--   ('schema version', '1'), ('duckdb', '2.0.0'), ('traces sha256', '5a0c…')
CREATE TABLE provenance (
    name  VARCHAR PRIMARY KEY,
    value VARCHAR NOT NULL
);

-- A prompt with its reference answer.
CREATE TABLE problems (
    id           VARCHAR PRIMARY KEY,  -- hash of prompt, answer and verifier
    split        VARCHAR NOT NULL,     -- 'train', or the name of an evaluation split; no problem is in two
    source       VARCHAR NOT NULL,     -- its name in params.yaml
    domain       VARCHAR NOT NULL,
    prompt       VARCHAR NOT NULL,
    answer       VARCHAR NOT NULL,
    verifier     VARCHAR NOT NULL,     -- how answers are compared: math | gym | code | choice | judge | none
    difficulty   JSON    NOT NULL,     -- what the source says of it
    licence      VARCHAR NOT NULL,
    origin       JSON    NOT NULL,     -- package, version, task, seed and index; or file and line
    gold_verdict VARCHAR NOT NULL      -- the verifier on the reference itself; all but 'correct' cannot be graded
);

-- One answer of the teacher to one problem of the training split, without its words. In the order of ids.
CREATE TABLE traces (
    id                VARCHAR PRIMARY KEY,  -- hash of problem, sample and request
    problem_id        VARCHAR NOT NULL,
    sample_index      INTEGER NOT NULL,
    request_key       VARCHAR NOT NULL,     -- hash of weights, template, system prompt and sampling, without the budget
    model             VARCHAR NOT NULL,
    model_revision    VARCHAR NOT NULL,
    finish_reason     VARCHAR NOT NULL,     -- stop | length | repetition | abort
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    max_tokens        INTEGER NOT NULL,     -- the budget it was written under
    seed_label        BIGINT  NOT NULL,
    engine            VARCHAR NOT NULL,     -- server and version
    format            VARCHAR NOT NULL,     -- ok | no_chain | empty_chain | stray_tag | empty_answer
    duplicate_of      VARCHAR               -- the first trace of the same problem with exactly the same text
);

-- The words, compressed, in the order of ids. `text` is the message exactly as it came; the others are its two parts,
-- NULL where the chain was never closed.
CREATE TABLE texts (
    trace_id    VARCHAR NOT NULL,
    reasoning   VARCHAR USING COMPRESSION zstd,
    answer_text VARCHAR USING COMPRESSION zstd,
    text        VARCHAR USING COMPRESSION zstd
);

-- What the verifier says. 'incorrect' is said only when both sides were understood; the other words abstain, and say why.
CREATE TABLE verdicts (
    trace_id    VARCHAR PRIMARY KEY,
    fingerprint VARCHAR NOT NULL,  -- the verifier's rules and the versions of its libraries
    verdict     VARCHAR NOT NULL,  -- correct | incorrect | no_answer | truncated | ambiguous | … (distill/records.py)
    extracted   VARCHAR,           -- the answer that was compared
    method      VARCHAR NOT NULL,  -- what decided: string | exact | symbolic | execution | judge | none
    evidence    VARCHAR NOT NULL,  -- in a sentence
    extraction  VARCHAR NOT NULL   -- the form in which the answer was found: box | answer_line | program | option | none
);

-- ------------------------------------------------------------------------------------------------------------- views

-- Every trace, the steps it passed, and the one reason that speaks against it (NULL where none does).
CREATE VIEW judged AS
SELECT
    t.*, p.source, p.domain, p.answer, v.verdict, v.extracted, v.method, v.evidence,
    v.verdict <> 'truncated' AS finished,
    finished AND v.verdict NOT IN ('no_answer', 'ambiguous') AS answered,
    v.verdict = 'correct' AS correct,
    CASE
        WHEN NOT correct THEN v.verdict
        WHEN t.format <> 'ok' THEN t.format
        WHEN t.duplicate_of IS NOT NULL THEN 'duplicate'
    END AS reason
FROM traces t
JOIN problems p ON p.id = t.problem_id
JOIN verdicts v ON v.trace_id = t.id;

CREATE VIEW kept AS SELECT * EXCLUDE (reason) FROM judged WHERE reason IS NULL;

CREATE VIEW rejected AS SELECT * FROM judged WHERE reason IS NOT NULL;

-- From problems to kept traces. A row without a reason is what enters a step; those under it, below zero, are what each
-- reason takes out before the next.
--   ('answered', NULL, 1225, 268943), ('answered', 'incorrect', -413, -91200), ('correct', NULL, 812, 177743)
CREATE VIEW funnel AS
WITH steps AS (
    FROM (VALUES (0, 'traces'), (1, 'finished'), (2, 'answered'), (3, 'correct'), (4, 'kept')) AS steps(place, step)
), passed AS (
    SELECT reason, completion_tokens AS tokens, finished::INT + answered::INT + correct::INT + (reason IS NULL)::INT AS n_steps
    FROM judged
), gradable AS (
    SELECT nullif(nullif(gold_verdict, 'correct'), '') AS reason FROM problems WHERE split = 'train'
), counted AS (
    SELECT -2 AS place, 'problems' AS step, NULL AS reason, count(*) AS n, 0 AS tokens FROM gradable
    UNION ALL
    SELECT -2, 'problems', reason, -count(*), 0 FROM gradable WHERE reason IS NOT NULL GROUP BY reason
    UNION ALL
    SELECT -1, 'gradable problems', NULL, count(*), 0 FROM gradable WHERE reason IS NULL
    UNION ALL
    SELECT place, step, NULL, count(tokens), coalesce(sum(tokens), 0) FROM steps LEFT JOIN passed ON n_steps >= place GROUP BY ALL
    UNION ALL
    SELECT place, step, reason, -count(*), -sum(tokens) FROM steps JOIN passed ON n_steps = place
    WHERE reason IS NOT NULL GROUP BY ALL
)
SELECT step, reason, n, tokens::BIGINT AS tokens FROM counted ORDER BY place, n < 0, n, reason;

-- By source: how many traces passed each step, and the price of a kept one in tokens of all attempts.
CREATE VIEW cost AS
SELECT
    source,
    count(DISTINCT problem_id) AS problems,
    count(*) AS traces,
    count(*) FILTER (j.finished) AS finished,
    count(*) FILTER (j.answered) AS answered,
    count(*) FILTER (j.correct) AS correct,
    count(*) FILTER (reason IS NULL) AS kept,
    sum(completion_tokens)::BIGINT AS tokens,
    round(tokens / nullif(kept, 0), 1) AS tokens_per_kept_trace
FROM judged j GROUP BY source ORDER BY source;

-- How often the teacher is right on each problem that it was asked.
CREATE VIEW pass_rates AS
SELECT
    p.id AS problem_id, p.source, count(*) AS n, count(*) FILTER (j.correct) AS correct,
    count(*) FILTER (j.correct) / count(*) AS pass_rate, p.prompt, p.answer
FROM judged j JOIN problems p ON p.id = j.problem_id GROUP BY ALL;

-- How the traces were asked for: one row unless parameters changed between them.
CREATE VIEW runs AS
SELECT
    model, model_revision, engine, request_key, max_tokens, count(DISTINCT problem_id) AS problems, count(*) AS traces,
    sum(completion_tokens)::BIGINT AS tokens
FROM traces GROUP BY ALL ORDER BY ALL;
