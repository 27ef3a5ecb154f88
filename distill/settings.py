"""The blocks of `params.yaml` in the order of the stages: each key with its type, its bounds and its default.

`distill.config` reads the file; `distill.students` holds the block of a student.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from distill.records import Verifier

Positive = Annotated[int, Field(gt=0)]
Price = Annotated[float, Field(ge=0.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Settings(BaseModel):
    """A block of `params.yaml`. Unknown keys are errors, and values are not coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


# ------------------------------------------------------------------ problems


class GymSource(Settings):
    """Problems made by a reasoning-gym task, from `params.seed`, the source's name and the split."""

    kind: Literal["gym"]
    task: str
    n: Positive
    config: dict[str, Any] = {}


class Columns(Settings):
    """Which columns of a data set hold what.

    `options` (of multiple choice) is one column that holds all, or the names of several; `tests` (of code) holds
    `inputs` and `outputs` as APPS spells them. With `answer_after` the answer is what follows the last such mark, as
    `####` in GSM8K.
    """

    prompt: str = "prompt"
    answer: str = "answer"
    answer_after: Annotated[str, Field(min_length=1)] | None = None
    options: str | list[str] | None = None
    tests: str | None = None


class FileSource(Settings):
    """Problems in a local .jsonl or .parquet file; `n` keeps the first n rows."""

    kind: Literal["file"]
    path: str
    columns: Columns = Columns()
    verifier: Annotated[Verifier, Field(strict=False)] = Verifier.MATH
    domain: str = "math"
    licence: str = "unknown"
    n: Positive | None = None


class DatasetSource(Settings):
    """Problems in a data set that `datasets.load_dataset` opens: a folder, or a hub id at a pinned revision.

    A revision that is no commit (none, a branch, a tag) is looked up once, and its commit is in every row's `origin`.
    """

    kind: Literal["dataset"]
    path: str
    name: str | None = None
    split: str = "train"
    revision: str | None = None
    columns: Columns = Columns()
    verifier: Annotated[Verifier, Field(strict=False)] = Verifier.MATH
    domain: str = "math"
    licence: str = "unknown"
    n: Positive | None = None


Source = Annotated[GymSource | FileSource | DatasetSource, Field(discriminator="kind")]
Sources = Annotated[dict[str, Source], Field(min_length=1)]


class Benchmark(Settings):
    """A file of `pipelines/benchmarks/`: an evaluation split, and how it is asked and sampled.

    `licence` is that of every source that names none. `samples` and `answer_line` stand in for those of `evaluate`.
    """

    what: Annotated[str, Field(min_length=1)]
    licence: Annotated[str, Field(min_length=1)]
    sources: Sources
    prompt: str = "{problem}"  # the wording around every problem
    samples: Positive | None = None
    answer_line: bool | None = None

    @field_validator("prompt")
    @classmethod
    def wording_has_a_place(cls, prompt: str) -> str:
        """Without its place in the wording, no problem would be asked."""
        if "{problem}" not in prompt:
            raise ValueError(f"the wording {prompt!r} lacks {{problem}}, where each problem goes")
        return prompt


class BenchmarkUse(Settings):
    """A benchmark by the name of its file; `samples`, and the first `n` problems of each source, as this run wants."""

    benchmark: str
    samples: Positive | None = None
    n: Positive | None = None


def _form(split: Any) -> str:
    """How a split is written: by name, or as its sources."""
    by_name = isinstance(split, BenchmarkUse) or (isinstance(split, dict) and "benchmark" in split)
    return "(name)" if by_name else "(sources)"


def _named(split: Any) -> Any:
    return {"benchmark": split} if isinstance(split, str) else split


Split = Annotated[
    Annotated[BenchmarkUse, Tag("(name)")] | Annotated[Sources, Tag("(sources)")],
    Discriminator(_form),
    BeforeValidator(_named),
]


class ProblemSettings(Settings):
    """Where problems come from: sources by name for training; for each evaluation split too, or a benchmark's name."""

    train: Sources
    given: dict[str, FileSource | DatasetSource] = {}  # prompts with responses: no teacher is asked, nothing is graded
    eval: Annotated[dict[str, Split], Field(min_length=1)]

    @model_validator(mode="after")
    def sources_have_one_meaning(self) -> "ProblemSettings":
        """Counts go by the names of sources."""
        if both := sorted(set(self.train) & set(self.given)):
            raise ValueError(f"{both[0]} is a source of train and of given; rename one of them")
        return self


# ------------------------------------------------------------------ models and sampling


class ServerSettings(Settings):
    """How vLLM places a model. Changing these re-runs nothing."""

    tensor_parallel_size: Positive = 1
    gpu_memory_utilization: Fraction = 0.9  # vLLM's own default
    max_num_seqs: Positive = 128
    enforce_eager: bool = True


class ServingSettings(Settings):
    """Placement of the teacher, and of every student and its base."""

    teacher: ServerSettings = ServerSettings()
    students: ServerSettings = ServerSettings()


class TeacherSettings(Settings):
    """The reasoning teacher: a local folder, a hub id, or the name that a URL serves it by."""

    model: str
    revision: str | None = None
    dtype: Literal["bfloat16", "float16", "float32", "auto"] = "bfloat16"
    max_model_len: Positive = 32768


class RepetitionSettings(Settings):
    """When vLLM (0.17 or later) ends an answer that loops: a pattern of so many tokens, so many times in a row."""

    max_pattern: Positive = 64
    min_count: Annotated[int, Field(ge=2)] = 8


class SamplingSettings(Settings):
    """How an answer is sampled. Temperature 0.6 and top-p 0.95 are DeepSeek-R1's recommendation."""

    samples: Positive = 4
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.6
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    max_tokens: Positive = 32768
    system_prompt: str | None = None
    repetition: RepetitionSettings | None = None


class GenerateSettings(SamplingSettings):
    """How the teacher is sampled, and when a problem has had enough of it.

    Without `want` every problem gets `samples` traces. With it a problem is asked until that many are verified, at
    most `samples` times. A trace that is cut at one of `budget_steps` is continued up to the next, at last to
    `max_tokens`, where it is still wanted.
    """

    want: Positive | None = None
    give_up_after: Positive | None = None  # failed samples of a problem without one that is verified
    max_tokens_per_problem: Positive | None = None
    budget_steps: list[Positive] = []

    @model_validator(mode="after")
    def limits_agree(self) -> "GenerateSettings":
        """Limits that could never take effect are mistakes."""
        if self.want is None:
            for name in ("give_up_after", "max_tokens_per_problem"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is given without want, so it has no effect; set want, or remove it")
        elif self.want > self.samples:
            raise ValueError(f"want is {self.want} but samples is {self.samples}, the most that is asked for")
        steps = [*self.budget_steps, self.max_tokens]
        if steps != sorted(set(steps)):
            raise ValueError(f"budget_steps must rise and end below max_tokens, got {steps}")
        return self


class EvaluateSettings(SamplingSettings):
    """How every model is sampled on the evaluation problems; a benchmark's file may say `samples` and `answer_line`.

    With `answer_line`, a last line like `Answer: 12` counts where a text has no box; scores record which it was.
    """

    answer_line: bool = False


class JudgeSettings(Settings):
    """A model that is asked where the rules abstain, by `DISTILL_JUDGE_URL` or served here.

    It is used only if it calls no more than this share of the wrong answers in `labelled` right.
    """

    model: str
    revision: str | None = None
    max_false_positive_rate: Fraction = 0.02
    labelled: str | None = None  # a .jsonl of question, gold, answer and correct; by default the one that is shipped
    max_tokens: Positive = 4096
    max_model_len: Positive = 16384


class VerifySettings(Settings):
    """Limits of one comparison, in seconds of processor time, kept by killing what overstays; and the judge, if any."""

    timeout_s: Annotated[float, Field(gt=0.0)] = 1.0  # of the parser; tried once more
    program_cpu_s: Positive = 6  # of a program on one test, as LiveCodeBench
    judge: JudgeSettings | None = None


class CheckSettings(Settings):
    """Where a check of a trace becomes a concern. A concern is a column; which of them count is a policy's choice.

    R1's authors dropped chains with mixed languages, long paragraphs and code blocks (arXiv 2501.12948, section 2.3.3)
    and gave no numbers. These are ours: docs/curation.md says what they do to sound chains and to planted faults.
    """

    foreign_share: Fraction = 0.02  # letters outside the main script of a text, LaTeX and code left out
    paragraph_characters: Positive = 6_000  # of the longest paragraph
    tail_ratio: Fraction = 0.12  # zlib's size over the size of the last 4 kB; English chains have 0.3 and more
    repeated_share: Fraction = 0.3  # of the last 4 kB's word 20-grams, how many were there before
    repeated_sentences: Positive = 5  # the same sentence so many times in a row


class BenchmarkFile(Settings):
    """A .jsonl or .parquet file of questions that no training problem may be; `column` holds the question."""

    path: str
    column: str = "problem"


Rule = Literal["exact", "ngram_8", "ngram_13", "fuzzy"]


class ContaminationSettings(Settings):
    """Which rules are looked for, and which a training problem is dropped by; every hit is stored all the same.

    An n-gram or a phrase of eight words in more than `common` training problems is a template's, and no evidence.
    """

    rules: list[Rule] = ["exact", "ngram_8", "ngram_13", "fuzzy"]
    drop_by: list[Rule] = ["exact", "ngram_13", "fuzzy"]
    fuzzy_ratio: Annotated[float, Field(gt=0.5, le=1.0)] = 0.8
    common: Positive = 10
    benchmarks: dict[str, BenchmarkFile] = {}

    @model_validator(mode="after")
    def what_drops_is_looked_for(self) -> "ContaminationSettings":
        """A rule that is not looked for drops nothing."""
        if unsought := [rule for rule in self.drop_by if rule not in self.rules]:
            raise ValueError(f"drop_by names {unsought[0]}, which rules leaves out; add it there")
        return self


class CurateSettings(Settings):
    """How the store is built, and what its views call a concern, a copy and a leak."""

    memory_limit: Annotated[str, Field(pattern=r"^\d+(\.\d+)?(MB|GB)$")] = "4GB"
    threads: Positive = 2
    temp_directory: str | None = None  # where what exceeds the memory goes; by default beside the store
    near_duplicate: Annotated[float, Field(gt=0.5, le=1.0)] = 0.9  # Jaccard similarity of word 5-grams
    checks: CheckSettings = CheckSettings()
    contamination: ContaminationSettings = ContaminationSettings()


class ExportSettings(Settings):
    """Which traces a student may see, and in which formats besides `messages`.

    A policy is a query in `distill/curation/policies/` or in `pipelines/policies/`. Caps are seeded draws.
    """

    policy: str = "verified"
    given_policy: str = "given"  # of problems that came with their responses
    max_per_problem: Positive | None = None
    max_per_source: Positive | None = None
    formats: list[Literal["prompt_completion", "sharegpt", "alpaca"]] = []


# ------------------------------------------------------------------ report


class ReportSettings(Settings):
    """What the page's trace browser holds: training traces, at most as many evaluation problems, and how much text."""

    traces: Positive = 200
    megabytes: Positive = 8  # of both; half of it for training traces, what they leave for evaluation answers


class PriceSettings(Settings):
    """What the machine that generates costs an hour, and a hosted teacher by the token; 0 leaves money out."""

    usd_per_hour: Price = 0.0
    usd_per_million_prompt_tokens: Price = 0.0
    usd_per_million_completion_tokens: Price = 0.0

    def usd(self, seconds: float, prompt_tokens: int, completion_tokens: int) -> float:
        """What a run of so many seconds and tokens costs."""
        prompts = prompt_tokens * self.usd_per_million_prompt_tokens
        completions = completion_tokens * self.usd_per_million_completion_tokens
        return seconds / 3600 * self.usd_per_hour + (prompts + completions) / 1e6
