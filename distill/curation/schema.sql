-- The store: everything the pipeline knows of its problems, traces and verdicts. Nothing is filtered away; a rejected
-- trace stays with its reason. It is derived (`dvc repro curate` rebuilds it in seconds) and read-only to everyone else.
--
--   problems ──< traces ── texts         one problem has many traces; texts are apart, so that narrow questions stay fast
--                  └────── verdicts      one verdict per trace, by the verifier in its present version

-- What made this store: schema version, versions of the libraries.
CREATE TABLE provenance (
    name  VARCHAR PRIMARY KEY,
    value VARCHAR NOT NULL
);

-- A prompt with its reference answer. `split` is 'train', or the name of an evaluation split.
CREATE TABLE problems (
    id            VARCHAR PRIMARY KEY,  -- hash of prompt, answer and verifier
    split         VARCHAR NOT NULL,
    source        VARCHAR NOT NULL,     -- the name in params.yaml
    domain        VARCHAR NOT NULL,
    prompt        VARCHAR NOT NULL,
    answer        VARCHAR NOT NULL,
    verifier      VARCHAR NOT NULL,     -- math | gym | code | choice | judge | none
    difficulty    JSON,
    licence       VARCHAR NOT NULL,
    origin        JSON,                 -- package, version, task, seed and index; or file and line
    gold_verdict  VARCHAR NOT NULL      -- what the verifier says of the reference itself; anything but 'correct' is ungradable
);

-- One answer of the teacher to one problem, without its text.
CREATE TABLE traces (
    id                VARCHAR PRIMARY KEY,  -- hash of problem, sample and request
    problem_id        VARCHAR NOT NULL,
    sample_index      INTEGER NOT NULL,
    request_key       VARCHAR NOT NULL,     -- hash of weights, template, system prompt and sampling
    model             VARCHAR NOT NULL,
    model_revision    VARCHAR NOT NULL,
    finish_reason     VARCHAR NOT NULL,     -- stop | length | repetition | abort
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    max_tokens        INTEGER NOT NULL,     -- the budget it was written under
    seed_label        BIGINT  NOT NULL,
    engine            VARCHAR NOT NULL,
    has_chain         BOOLEAN NOT NULL,     -- whether it holds a chain of thought that was closed
    duplicate_of      VARCHAR               -- an earlier trace of the same problem with the same text
);

-- The words, compressed. `text` is the message exactly as it came.
CREATE TABLE texts (
    trace_id    VARCHAR NOT NULL,
    reasoning   VARCHAR USING COMPRESSION zstd,
    answer_text VARCHAR USING COMPRESSION zstd,
    text        VARCHAR USING COMPRESSION zstd
);

-- What the verifier says. 'incorrect' is said only when both sides were understood; other words abstain and say why.
CREATE TABLE verdicts (
    trace_id    VARCHAR PRIMARY KEY,
    fingerprint VARCHAR NOT NULL,  -- the verifier's rules and the versions of its libraries
    verdict     VARCHAR NOT NULL,
    extracted   VARCHAR,           -- the answer that was compared
    method      VARCHAR NOT NULL,  -- string | exact | symbolic | execution | judge | none
    evidence    VARCHAR NOT NULL
);

-- Every trace with the one reason that speaks against it; NULL where none does. All views and policies start here.
CREATE VIEW judged AS
SELECT
    t.*, p.source, p.domain, v.verdict, v.extracted, v.method, v.evidence, p.answer,
    CASE
        WHEN v.verdict <> 'correct' THEN v.verdict
        WHEN NOT t.has_chain THEN 'no_chain'
        WHEN t.duplicate_of IS NOT NULL THEN 'duplicate'
    END AS reason
FROM traces t
JOIN problems p ON p.id = t.problem_id
JOIN verdicts v ON v.trace_id = t.id;

CREATE VIEW kept AS SELECT * EXCLUDE (reason) FROM judged WHERE reason IS NULL;

CREATE VIEW rejected AS SELECT * FROM judged WHERE reason IS NOT NULL;

-- From problems to kept traces: what entered each step, and what each reason took out.
CREATE VIEW funnel AS
WITH steps AS (
    SELECT 0 AS place, 'problems' AS step, NULL AS reason, count(*) AS n, 0 AS tokens FROM problems WHERE split = 'train'
    UNION ALL
    SELECT 1, 'problems', gold_verdict, -count(*), 0
    FROM problems WHERE split = 'train' AND gold_verdict NOT IN ('correct', '') GROUP BY gold_verdict
    UNION ALL
    SELECT 2, 'traces', NULL, count(*), coalesce(sum(completion_tokens), 0) FROM traces
    UNION ALL
    SELECT 3, 'traces', reason, -count(*), -sum(completion_tokens) FROM rejected GROUP BY reason
    UNION ALL
    SELECT 4, 'kept', NULL, count(*), coalesce(sum(completion_tokens), 0) FROM kept
)
SELECT step, reason, n, tokens FROM steps ORDER BY place, n, reason;

-- The price of a kept trace, in tokens of all attempts.
CREATE VIEW cost AS
SELECT
    source,
    count(*) AS traces,
    count(*) FILTER (reason IS NULL) AS kept,
    sum(completion_tokens) AS tokens,
    sum(completion_tokens) / nullif(count(*) FILTER (reason IS NULL), 0) AS tokens_per_kept_trace
FROM judged GROUP BY source ORDER BY source;

-- How often the teacher is right on each problem.
CREATE VIEW pass_rates AS
SELECT
    problem_id, any_value(source) AS source, count(*) AS n, count(*) FILTER (verdict = 'correct') AS correct,
    avg((verdict = 'correct')::INTEGER) AS pass_rate
FROM judged GROUP BY problem_id;
