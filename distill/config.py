"""`params.yaml` as one typed tree: every key checked before a model is touched.

`load()` is the only way in. An unknown key, a wrong type or a contradiction ends in one sentence with the key's full
name:

    params.yaml: students.tiny_qwen.learning_rte is not a known key; did you mean learning_rate?

Values that decide *what* is computed live here, and DVC watches them. Where things run (endpoints, keys,
concurrency) comes from the environment, see `distill.generation.endpoint`; the `serving` block is placement
too: DVC does not watch it.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from distill.errors import ConfigError
from distill.records import Verifier

PARAMS_FILE = Path("params.yaml")
PROFILES = Path("pipelines/profiles")
TEMPLATES = Path("pipelines/templates")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # DVC's -S and params: break on dots and dashes

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
    `inputs` and `outputs` as APPS spells them.
    """

    prompt: str = "prompt"
    answer: str = "answer"
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
    """Problems in a data set that `datasets.load_dataset` opens: a folder, or a hub id at a pinned revision."""

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


class ProblemSettings(Settings):
    """Where problems come from: sources by name for training, and for each evaluation split."""

    train: Annotated[dict[str, Source], Field(min_length=1)]
    given: dict[str, FileSource | DatasetSource] = {}  # prompts with responses: no teacher is asked, nothing is graded
    eval: Annotated[dict[str, dict[str, Source]], Field(min_length=1)]

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
    """How every model is sampled on the evaluation problems.

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


# ------------------------------------------------------------------ students


NOT_SERVED = {  # keys of PEFT that vLLM refuses in an adapter, and what to do without them
    "modules_to_save": "is refused by vLLM in an adapter; remove it, or train everything with method: full",
    "use_dora": "is refused by vLLM; remove it, plain LoRA of a higher rank is served",
}
UNTRAINED = ("lm_head", "embed_tokens")  # TRL scores by lm_head's own weights: an adapter there never trains


class LoraSettings(Settings):
    """LoRA on all linear layers (Schulman et al., "LoRA Without Regret": attention alone falls short)."""

    rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] = 16  # the ranks vLLM serves
    alpha: Positive = 32
    dropout: Fraction = 0.0
    target_modules: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] = "all-linear"

    @model_validator(mode="before")
    @classmethod
    def adapter_can_be_served(cls, block: Any) -> Any:
        """Name what a server would refuse after the training."""
        for name in NOT_SERVED.keys() & set(block if isinstance(block, dict) else ()):
            raise ValueError(f"{name} {NOT_SERVED[name]}")
        return block

    @field_validator("target_modules")
    @classmethod
    def targets_are_trained(cls, targets: Any) -> Any:
        """An adapter on the head or the embedding would be shipped untrained."""
        if found := [name for name in UNTRAINED if name in targets]:
            raise ValueError(
                f"{found[0]} gets no adapter that trains and is served; use all-linear, which leaves it out"
            )
        return targets


class RopeSettings(Settings):
    """A context other than the base's, in training and in the config that ships.

    OpenR1-Distill-7B took Qwen2.5-Math-7B from 4,096 tokens to 32,768 with a theta of 300,000.
    """

    max_position_embeddings: Positive
    theta: Annotated[float, Field(gt=0.0)] | None = None


class StudentSettings(Settings):
    """One student: its base and how it is fine-tuned.

    What is left out of learning_rate, epochs, batch_size and warmup_ratio comes from the preset, see
    `distill.training.presets`.
    """

    base: str
    revision: str | None = None
    method: Literal["full", "lora"]
    lora: LoraSettings | None = None
    preset: Literal["auto", "micro", "small", "medium", "large"] = "auto"
    learning_rate: Annotated[float, Field(gt=0.0)] | None = None
    epochs: Positive | None = None
    batch_size: Positive | None = None  # rows of a step, packed or not
    max_length: Positive = 1024
    max_rows: Positive | None = None
    warmup_ratio: Fraction | None = None
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    packing: Literal["auto", "bfd", "none"] = "auto"
    gradient_checkpointing: bool | Literal["selective"] = False
    rope: RopeSettings | None = None
    ship_dtype: Literal["bfloat16", "float32"] = "bfloat16"
    chat_template: str | None = None  # a .jinja for bases whose own is missing, or cannot be trained on
    max_left_out: Fraction = 1.0  # the share of rows that tokenize may leave out; more is an error

    @field_validator("chat_template")
    @classmethod
    def template_is_watched(cls, path: str | None) -> str | None:
        """DVC watches one folder of templates; an edit elsewhere would re-run nothing."""
        if path is not None and (Path(path).parent != TEMPLATES or Path(path).suffix != ".jinja"):
            raise ValueError(f"it must be a .jinja in {TEMPLATES}, which DVC watches, got {path!r}")
        return path

    @model_validator(mode="after")
    def method_agrees_with_lora(self) -> "StudentSettings":
        """A full fine-tuning has no rank; a LoRA one needs its block."""
        if self.method == "full" and self.lora is not None:
            raise ValueError("method is full but a lora block is given; remove lora or set method: lora")
        if self.method == "lora" and self.lora is None:
            raise ValueError("method is lora but the lora block is missing; add lora: {rank: 16, alpha: 32}")
        return self


# ------------------------------------------------------------------ the whole tree


class ReportSettings(Settings):
    """What the page shows."""

    examples: Positive = 12


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


class Params(Settings):
    """All of `params.yaml`."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    problems: ProblemSettings
    teacher: TeacherSettings
    serving: ServingSettings = ServingSettings()
    generate: GenerateSettings
    verify: VerifySettings = VerifySettings()
    curate: CurateSettings = CurateSettings()
    export: ExportSettings = ExportSettings()
    students: Annotated[dict[str, StudentSettings], Field(min_length=1)]
    evaluate: EvaluateSettings
    report: ReportSettings = ReportSettings()
    price: PriceSettings = PriceSettings()

    def student(self, name: str) -> StudentSettings:
        """One student's settings. Raises `ConfigError` when there is none of that name."""
        if name not in self.students:
            raise ConfigError(f"there is no student {name!r}; params.yaml names {', '.join(self.students)}")
        return self.students[name]

    @field_validator("students")
    @classmethod
    def names_suit_dvc(cls, students: dict[str, StudentSettings]) -> dict[str, StudentSettings]:
        """DVC addresses students by key, on which dots and dashes break."""
        for name in students:
            if not NAME.fullmatch(name) or name == "teacher":
                raise ValueError(f"{name!r} cannot name a student; use letters, digits and _, and not 'teacher'")
        return students

    @model_validator(mode="after")
    def budgets_fit_contexts(self) -> "Params":
        """A budget that the context cannot hold would cut every long chain."""
        for stage in ("generate", "evaluate"):
            budget = getattr(self, stage).max_tokens
            if budget >= self.teacher.max_model_len:
                raise ValueError(
                    f"{stage}.max_tokens is {budget} but teacher.max_model_len is {self.teacher.max_model_len}; "
                    "the prompt needs room too"
                )
        return self


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and check a params file. Raises `ConfigError` with one sentence on its first fault."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not path.exists():
        raise ConfigError(f"{path} is missing; run from the repository's root, or `distill use laptop` writes one")
    try:
        tree = YAML(typ="safe").load(path)  # YAML 1.2, as DVC reads it: 2e-4 is a number
    except YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {_one_line(str(error))}") from error
    return parse(tree, str(path))


def use_profile(name: str, overwrite: bool = False) -> None:
    """Make a profile the active params file. Raises `ConfigError` rather than lose settings that no profile holds."""
    profiles = {path.stem: path for path in sorted(PROFILES.glob("*.yaml"))}
    if name not in profiles:
        raise ConfigError(f"there is no profile {name!r}; {PROFILES} holds {', '.join(profiles)}")
    current = PARAMS_FILE.read_text() if PARAMS_FILE.exists() else None
    kept = current is None or any(current == path.read_text() for path in profiles.values())
    if not kept and not overwrite:
        raise ConfigError(
            f"{PARAMS_FILE} holds settings that no profile has; "
            f"save it as {PROFILES}/<name>.yaml first, or give --overwrite"
        )
    load(profiles[name])
    PARAMS_FILE.write_text(profiles[name].read_text())


def parse(tree: Any, where: str = "params") -> Params:
    """Check an already loaded tree; `where` names its file in errors."""
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_describe(error.errors()[0])}") from None


def _describe(error: ErrorDetails) -> str:
    """One sentence for one pydantic error, with the key's full name and the value."""
    parts = [str(part) for part in error["loc"] if part not in ("gym", "file", "dataset")]
    key, kind = ".".join(parts), error["type"]
    if kind == "extra_forbidden":
        return f"{key} is not a known key{_suggestion(parts)}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "union_tag_invalid":
        return f"{key}.kind must be {error['ctx']['expected_tags']}, got {error['ctx']['tag']!r}"
    if kind == "value_error":
        reason = str(error["ctx"]["error"])
        return f"{key}: {reason}" if key else reason
    message = error["msg"].replace("Input should be", "must be").replace("Value should", "must")
    return f"{key} {message}, got {error['input']!r}" if key else message


def _suggestion(parts: list[str]) -> str:
    """The nearest key that exists anywhere in the tree, if one is near."""
    close = difflib.get_close_matches(parts[-1], _all_keys(), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _all_keys() -> set[str]:
    return {key for block in Settings.__subclasses__() for key in block.model_fields}


def _one_line(text: str) -> str:
    return " ".join(text.split())
