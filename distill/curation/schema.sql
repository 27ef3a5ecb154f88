-- The store: everything the pipeline knows of its problems, its traces and what was found of them.
--
-- Nothing is filtered away: a rejected trace stays, with the reason. The file is derived (`dvc repro curate` rebuilds it)
-- and read-only to all else. Questions start at the views below the tables:
--
--   problems ──< traces ─── texts          a problem has many traces; their words are apart, so that questions about
--      │            ├────── verdicts       numbers never touch them. One verdict and one row of checks per trace.
--      │            ├────── checks
--      │            ├────── selections     which policies pick it
--      ├────────────┴─────< duplicates     copies, each with the one that is kept
--      └──────────────────< contamination  what an evaluation asks too, with the evidence
--
--   judged       every trace with its source, its verdict, its checks, and the one reason that speaks against it
--   kept         those with no reason against them: what the policy `verified` exports
--   rejected     the others
--   given        responses that came with their problems
--   funnel       from problems to kept traces: what enters each step, what each reason takes out; funnel_by_source
--   cost         the same by source, and tokens per kept trace
--   pass_rates   how often the teacher is right on each problem, with its Wilson interval
--   runs         how the traces were asked for: model, revision, engine, budget

-- ------------------------------------------------------------------------------------------------------------ tables

-- What made this store: the version of the rows, those of the libraries, and the sha256 of each input.
--   ('schema version', '1'), ('duckdb', '2.0.0'), ('traces sha256', '5a0c…')
CREATE TABLE provenance (
    name  VARCHAR PRIMARY KEY,
    value VARCHAR NOT NULL
);

-- Where a check becomes a concern, and what is near: `curate.checks` and `curate.near_duplicate` of params.yaml.
--   ('foreign_share', 0.02), ('near_duplicate', 0.9), ('tail_ratio', 0.12)
CREATE TABLE limits (
    name  VARCHAR PRIMARY KEY,
    value DOUBLE NOT NULL
);

-- A prompt with its reference answer.
CREATE TABLE problems (
    id           VARCHAR PRIMARY KEY,  -- hash of prompt, answer and verifier
    split        VARCHAR NOT NULL,     -- 'train', 'given', or the name of an evaluation split; no problem is in two
    source       VARCHAR NOT NULL,     -- its name in params.yaml
    domain       VARCHAR NOT NULL,
    prompt       VARCHAR NOT NULL,
    answer       VARCHAR NOT NULL,     -- the reference; empty for given problems, whose response is in `texts`
    verifier     VARCHAR NOT NULL,     -- how answers are compared: math | gym | code | choice | judge | none
    difficulty   JSON    NOT NULL,     -- what the source says of it
    licence      VARCHAR NOT NULL,
    origin       JSON    NOT NULL,     -- package, version, task, seed and index; or file and line
    gold_verdict VARCHAR NOT NULL      -- the verifier on the reference itself; all but 'correct' cannot be graded
);

-- One answer of the teacher to one problem of the training split, or the response that came with a given one, without its
-- words. In the order of ids.
CREATE TABLE traces (
    id                VARCHAR PRIMARY KEY,  -- hash of problem, sample and request
    problem_id        VARCHAR NOT NULL,
    sample_index      INTEGER NOT NULL,
    request_key       VARCHAR NOT NULL,     -- hash of weights, template, system prompt and sampling, without the budget
    model             VARCHAR NOT NULL,     -- 'given' for responses that came with their problems
    model_revision    VARCHAR NOT NULL,
    finish_reason     VARCHAR NOT NULL,     -- stop | length | repetition | abort
    prompt_tokens     INTEGER NOT NULL,     -- 0 for given ones, which no teacher was paid for
    completion_tokens INTEGER NOT NULL,
    max_tokens        INTEGER NOT NULL,     -- the budget it was written under
    seed_label        BIGINT  NOT NULL,
    engine            VARCHAR NOT NULL,     -- server and version
    text_sha256       VARCHAR NOT NULL      -- of the message as it came, 80 bits: equal texts are equal here
);

-- The words, compressed, in the order of ids: the chain and what follows it. `text` is the whole message where it is not
-- these two (the chain was never closed), else NULL; data/traces/ has every message exactly as it came.
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

-- What reading a trace once has measured (distill/curation/quality.py). Numbers, no decisions: `limits` and the view
-- `judged` make concerns of them. NULL where nothing was measured: given responses.
CREATE TABLE checks (
    trace_id           VARCHAR PRIMARY KEY,
    format             VARCHAR NOT NULL,  -- ok | no_chain | empty_chain | stray_tag | empty_answer | given
    characters         INTEGER NOT NULL,
    foreign_share      DOUBLE,            -- of letters, those outside the main script; LaTeX and code left out
    longest_paragraph  INTEGER,           -- characters
    code_fences        INTEGER,           -- code blocks in the chain
    tail_ratio         DOUBLE,            -- zlib's size over the size, of the last 4,096 characters; a loop is below 0.1
    repeated_share     DOUBLE,            -- of the word 20-grams of these, those that stood there before
    repeated_sentences INTEGER,           -- the longest run of one sentence
    chain_answer       VARCHAR,           -- same | other | none: the chain's last box against the answer's
    final_answer       VARCHAR            -- the answer's last box in its normal spelling
);

-- Copies: traces of one problem whose word 5-grams are the same or nearly so, problems that ask the same. A cluster is
-- the rows with one `kept_id`.
CREATE TABLE duplicates (
    kind        VARCHAR NOT NULL,  -- trace | problem
    id          VARCHAR NOT NULL,  -- the copy
    kept_id     VARCHAR NOT NULL,  -- what it is a copy of: a right trace before a wrong one, then the earlier one
    similarity  DOUBLE  NOT NULL,  -- Jaccard's, by MinHash; 1 where exact
    exact       BOOLEAN NOT NULL,  -- the same text, or for problems the same but for case, white space and punctuation
    same_answer BOOLEAN NOT NULL   -- of problems: whether the references agree; where not, one of them may be wrong
);

-- What these were searched for: the evaluation splits, and the files of curate.contamination.benchmarks.
CREATE TABLE benchmarks (
    name      VARCHAR PRIMARY KEY,
    questions INTEGER NOT NULL
);

-- Training and given problems that a benchmark asks too: once for each benchmark and rule, with the evidence.
CREATE TABLE contamination (
    problem_id        VARCHAR NOT NULL,
    benchmark         VARCHAR NOT NULL,  -- an evaluation split, or a file of curate.contamination.benchmarks
    rule              VARCHAR NOT NULL,  -- exact | ngram_8 | ngram_13 | fuzzy (distill/curation/contamination.py)
    benchmark_problem VARCHAR NOT NULL,  -- its id, or its line
    matched           VARCHAR NOT NULL,  -- the text in common
    score             DOUBLE  NOT NULL,  -- the share of the benchmark's question that it is; of fuzzy the similarity
    spread            INTEGER NOT NULL,  -- in how many training problems it stands; many for a template's words
    same_numbers      BOOLEAN NOT NULL,  -- all the numbers of one question are in the other
    decides           BOOLEAN NOT NULL   -- by curate.contamination: whether this hit drops the problem
);

-- Which of the policies that come with distill pick a trace, before any cap.
CREATE TABLE selections (
    trace_id VARCHAR PRIMARY KEY,
    policies VARCHAR[] NOT NULL
);

-- ------------------------------------------------------------------------------------------------------------ macros

CREATE MACRO limit_of(what) AS (SELECT value FROM limits WHERE name = what);

-- Wilson's 95 % interval of k of n (JASA 22, 1927): within [0, 1], and right for small n and rates near the ends.
CREATE MACRO wilson_low(k, n)  AS ((k + 1.92073) - 1.95996 * sqrt(k * (n - k) / n + 0.96036)) / (n + 3.84146);
CREATE MACRO wilson_high(k, n) AS ((k + 1.92073) + 1.95996 * sqrt(k * (n - k) / n + 0.96036)) / (n + 3.84146);

-- ------------------------------------------------------------------------------------------------------------- views

-- Every trace of the teacher, the steps it passed, what gives concern, and the one reason that speaks against it (NULL
-- where none does). Concerns are no reasons: the policy `r1` and your own decide by them.
CREATE VIEW judged AS
WITH leaks AS (
    SELECT DISTINCT problem_id FROM contamination WHERE decides
), same_problem AS (
    SELECT id AS problem_id FROM duplicates WHERE kind = 'problem' AND same_answer
), same_trace AS (
    SELECT id, kept_id, exact FROM duplicates WHERE kind = 'trace'
)
SELECT
    t.*, p.source, p.domain, p.verifier, p.answer, v.verdict, v.extracted, v.method, v.evidence,
    c.* EXCLUDE (trace_id), copy.kept_id AS duplicate_of, leak.problem_id IS NOT NULL AS contaminated,
    v.verdict <> 'truncated' AS finished,
    finished AND v.verdict NOT IN ('no_answer', 'ambiguous') AS answered,
    v.verdict = 'correct' AS correct,
    list_filter([
        CASE WHEN c.foreign_share > limit_of('foreign_share') THEN 'mixed_language' END,
        CASE WHEN c.longest_paragraph > limit_of('paragraph_characters') THEN 'long_paragraph' END,
        CASE WHEN c.code_fences > 0 AND p.verifier <> 'code' THEN 'code_block' END,
        CASE WHEN c.tail_ratio < limit_of('tail_ratio') OR c.repeated_share > limit_of('repeated_share')
            OR c.repeated_sentences >= limit_of('repeated_sentences') THEN 'repetition' END,
        CASE WHEN c.chain_answer = 'other' THEN 'other_answer_in_chain' END
    ], lambda concern: concern IS NOT NULL) AS concerns,
    CASE
        WHEN NOT correct THEN v.verdict
        WHEN c.format <> 'ok' THEN c.format
        WHEN copy.exact THEN 'duplicate'
        WHEN copy.id IS NOT NULL THEN 'near_duplicate'
        WHEN contaminated THEN 'contaminated'
        WHEN same.problem_id IS NOT NULL THEN 'duplicate_problem'
    END AS reason
FROM traces t
JOIN problems p ON p.id = t.problem_id AND p.split = 'train'
JOIN verdicts v ON v.trace_id = t.id
JOIN checks c ON c.trace_id = t.id
LEFT JOIN same_trace copy ON copy.id = t.id
LEFT JOIN leaks leak ON leak.problem_id = t.problem_id
LEFT JOIN same_problem same ON same.problem_id = t.problem_id;

CREATE VIEW kept AS SELECT * EXCLUDE (reason) FROM judged WHERE reason IS NULL;

CREATE VIEW rejected AS SELECT * FROM judged WHERE reason IS NOT NULL;

-- Responses that came with their problems: nobody wrote them here and nothing graded them.
CREATE VIEW given AS
SELECT
    t.id, t.problem_id, p.source, p.domain, p.prompt, c.characters,
    CASE
        WHEN c.format <> 'given' THEN c.format
        WHEN p.id IN (SELECT problem_id FROM contamination WHERE decides) THEN 'contaminated'
        WHEN p.id IN (SELECT id FROM duplicates WHERE kind = 'problem' AND same_answer) THEN 'duplicate_problem'
    END AS reason
FROM traces t
JOIN problems p ON p.id = t.problem_id AND p.split = 'given'
JOIN checks c ON c.trace_id = t.id;

-- From problems to kept traces, for each source. A row without a reason is what enters a step; those under it, below zero,
-- are what each reason takes out before the next.
--   ('gcd', 'answered', NULL, 225, 48943), ('gcd', 'answered', 'incorrect', -63, -21200), ('gcd', 'correct', NULL, 162, 27743)
CREATE VIEW funnel_by_source AS
WITH steps AS (
    SELECT DISTINCT source, place, step
    FROM problems, (VALUES (0, 'traces'), (1, 'finished'), (2, 'answered'), (3, 'correct'), (4, 'kept')) AS steps(place, step)
    WHERE split = 'train'
), passed AS (
    SELECT
        source, reason, completion_tokens AS tokens,
        finished::INT + answered::INT + correct::INT + (reason IS NULL)::INT AS n_steps
    FROM judged
), gradable AS (
    SELECT source, nullif(nullif(gold_verdict, 'correct'), '') AS reason FROM problems WHERE split = 'train'
), counted AS (
    SELECT source, -2 AS place, 'problems' AS step, NULL AS reason, count(*) AS n, 0 AS tokens FROM gradable GROUP BY source
    UNION ALL
    SELECT source, -2, 'problems', reason, -count(*), 0 FROM gradable WHERE reason IS NOT NULL GROUP BY ALL
    UNION ALL
    SELECT source, -1, 'gradable problems', NULL, count(*) FILTER (reason IS NULL), 0 FROM gradable GROUP BY source
    UNION ALL
    SELECT steps.source, place, step, NULL, count(tokens), coalesce(sum(tokens), 0)
    FROM steps LEFT JOIN passed ON passed.source = steps.source AND n_steps >= place GROUP BY ALL
    UNION ALL
    SELECT source, place, step, reason, -count(*), -sum(tokens)
    FROM steps JOIN passed USING (source) WHERE n_steps = place AND reason IS NOT NULL GROUP BY ALL
)
SELECT source, place, step, reason, n, tokens::BIGINT AS tokens FROM counted ORDER BY source, place, n < 0, n, reason;

-- The same over all sources.
CREATE VIEW funnel AS
SELECT step, reason, n, tokens FROM (
    SELECT place, step, reason, sum(f.n)::BIGINT AS n, sum(f.tokens)::BIGINT AS tokens
    FROM funnel_by_source f GROUP BY place, step, reason
) ORDER BY place, n < 0, n, reason;

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

-- How often the teacher is right on each problem that it was asked, and between which rates the true one lies (95 %).
CREATE VIEW pass_rates AS
SELECT
    p.id AS problem_id, p.source, n, correct, correct / n AS pass_rate,
    round(wilson_low(correct, n), 4) AS low, round(wilson_high(correct, n), 4) AS high, p.prompt, p.answer
FROM (
    SELECT problem_id, count(*) AS n, count(*) FILTER (verdict = 'correct') AS correct
    FROM traces JOIN verdicts ON trace_id = id GROUP BY problem_id
) JOIN problems p ON p.id = problem_id AND p.split = 'train';

-- How the traces were asked for: one row unless parameters changed between them.
CREATE VIEW runs AS
SELECT
    model, model_revision, engine, request_key, max_tokens, count(DISTINCT problem_id) AS problems, count(*) AS traces,
    sum(completion_tokens)::BIGINT AS tokens
FROM traces GROUP BY ALL ORDER BY ALL;
