r"""Formats: the turns that a student is taught, in the shapes that trainers read.

    default             data/train-*.parquet               messages: TRL, LLaMA-Factory, axolotl
    prompt_completion   prompt_completion/train-*.parquet  TRL, which then trains on the completion alone
    sharegpt            sharegpt/train-*.jsonl             LLaMA-Factory, axolotl
    alpaca              alpaca/train-*.jsonl               LLaMA-Factory, axolotl

Each holds the same rows in the same order, the chain inline in the assistant's turn. A row before it is rendered:

    {"id": "c07a…", "source": "gcd", "problem": "Find the Greatest…", "messages": [{"role": "user", "content": "Find…"},
     {"role": "assistant", "content": "<think>\n98 = 58 * 1 + 40…\n</think>\n\nThe answer is \\boxed{2}."}], …}
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from distill.prompting import Message, render_student_turn, render_user_turn

Row = dict[str, Any]

SPEAKERS = {"user": "human", "assistant": "gpt"}  # of sharegpt


def render_turns(problem: str, verifier: str, reasoning: str | None, answer: str) -> list[Message]:
    r"""The user turn as the teacher was asked it, and the assistant turn with the chain inline.

    A response that came with its problem has no reasoning: its chain is empty, and nothing asks for steps or a box.

        [{"role": "user", "content": "Write a limerick."},
         {"role": "assistant", "content": "<think>\n\n</think>\n\nThere once was…"}]
    """
    asked = render_given_turn(problem) if reasoning is None else render_user_turn(problem, verifier)
    told = render_student_turn(reasoning or "", answer)
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]


def render_given_turn(problem: str) -> str:
    """The user turn of a problem that came with its response: the problem and nothing else."""
    return problem.strip()


def prompt_completion(row: Row) -> Row:
    r"""TRL's conversational prompt and completion (https://huggingface.co/docs/trl/dataset_formats).

    {"id": "c07a…", "prompt": [{"role": "user", "content": "Find…"}],
     "completion": [{"role": "assistant", "content": "<think>\n98 = 58 * 1 + 40…"}]}
    """
    *prompt, completion = row["messages"]
    return {"id": row["id"], "prompt": prompt, "completion": [completion]}


def sharegpt(row: Row) -> Row:
    r"""A conversation of `human` and `gpt`, with `system` where there is one.

    {"id": "c07a…", "conversations": [{"from": "human", "value": "Find…"}, {"from": "gpt", "value": "<think>\n98…"}]}
    """
    system, turns = _apart(row["messages"])
    said = [{"from": SPEAKERS[turn["role"]], "value": turn["content"]} for turn in turns]
    return {"id": row["id"], "conversations": said} | system


def alpaca(row: Row) -> Row:
    r"""An instruction and its output, with `system` where there is one.

    {"id": "c07a…", "instruction": "Find…", "input": "", "output": "<think>\n98 = 58 * 1 + 40…"}
    """
    system, (asked, told) = _apart(row["messages"])
    return {"id": row["id"], "instruction": asked["content"], "input": "", "output": told["content"]} | system


def _apart(messages: Sequence[Message]) -> tuple[Row, Sequence[Message]]:
    """The system prompt as a key, if there is one, and the turns."""
    if messages[0]["role"] == "system":
        return {"system": messages[0]["content"]}, messages[1:]
    return {}, messages


def row_schema() -> Any:
    """The Arrow schema of a row, in the order of columns that a reader meets."""
    import pyarrow as pa

    before = ("id", "problem_id", "source", "domain", "verifier")
    after = ("problem", "answer", "verdict", "method", "teacher", "teacher_revision")
    return pa.schema(
        [
            *((name, pa.string()) for name in before),
            ("messages", _messages()),
            *((name, pa.string()) for name in after),
            ("completion_tokens", pa.int64()),
            ("licence", pa.string()),
            ("schema_version", pa.int64()),
        ]
    )


def prompt_completion_schema() -> Any:
    """The Arrow schema of `prompt_completion`."""
    import pyarrow as pa

    return pa.schema([("id", pa.string()), ("prompt", _messages()), ("completion", _messages())])


def _messages() -> Any:
    import pyarrow as pa

    return pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


@dataclass(frozen=True, slots=True)
class Format:
    """What a row becomes and where it goes: to Parquet by a schema, without one to JSON lines.

    `datasets` reads every configuration of a folder as it reads the first, so only Parquet is a configuration:
    `load_dataset(folder, "prompt_completion")`, but `load_dataset(folder, data_dir="alpaca")`.
    """

    name: str
    folder: str
    render: Callable[[Row], Row]
    schema: Callable[[], Any] | None = None

    @property
    def suffix(self) -> str:
        """How the names of its files end."""
        return "jsonl" if self.schema is None else "parquet"

    @property
    def pattern(self) -> str:
        """Its files, within the data set."""
        return f"{self.folder}/train-*.{self.suffix}"


DEFAULT = Format("default", "data", lambda row: row, row_schema)
FORMATS = (
    Format("prompt_completion", "prompt_completion", prompt_completion, prompt_completion_schema),
    Format("sharegpt", "sharegpt", sharegpt),
    Format("alpaca", "alpaca", alpaca),
)

# The keys are those of https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md
LLAMA_FACTORY = {
    "messages": {
        "file_name": "data",
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    },
    "sharegpt": {
        "file_name": "sharegpt",
        "formatting": "sharegpt",
        "columns": {"messages": "conversations"},
        "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"},
    },
    "alpaca": {
        "file_name": "alpaca",
        "formatting": "alpaca",
        "columns": {"prompt": "instruction", "query": "input", "response": "output"},
    },
}


def chosen(names: Sequence[str]) -> list[Format]:
    """The default format and those that the settings name."""
    return [DEFAULT, *(format for format in FORMATS if format.name in names)]


def dataset_info(names: Sequence[str]) -> dict[str, Any]:
    """LLaMA-Factory's `dataset_info.json`: a data set for the rows, and one for each format that it reads too."""
    return {name: entry for name, entry in LLAMA_FACTORY.items() if name == "messages" or name in names}
