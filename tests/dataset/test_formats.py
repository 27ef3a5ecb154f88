import json

import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML
from stores import HOSTILE, A, make_given, make_store, make_trace

from distill import layout
from distill.dataset import export, formats
from distill.settings import ExportSettings, SamplingSettings

ALL = ["prompt_completion", "sharegpt", "alpaca"]
SAMPLING = SamplingSettings(samples=3, temperature=0.8, top_p=0.95, max_tokens=640)
TURNS = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nThat."}]
ROW = {"id": "c07a", "messages": TURNS}
INSTRUCTED = {"id": "c07a", "messages": [{"role": "system", "content": "Be brief."}, *TURNS]}

# What each trainer's documents say of a row: key -> (type, required). Any other key is a column that it leaves alone.
# https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md
LLAMA_FACTORY_ALPACA = {
    "instruction": (str, True), "input": (str, False), "output": (str, True), "system": (str, False),
    "history": (list, False),
}  # fmt: skip
LLAMA_FACTORY_SHAREGPT = {"conversations": (list, True), "system": (str, False), "tools": (str, False)}
LLAMA_FACTORY_ENTRY = {
    "file_name": (str, True), "formatting": (str, False), "columns": (dict, False), "tags": (dict, False),
}  # fmt: skip
LLAMA_FACTORY_COLUMNS = {"prompt", "query", "response", "history", "messages", "system", "tools"}
LLAMA_FACTORY_TAGS = {
    "role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag",
}  # fmt: skip
# https://docs.axolotl.ai/docs/dataset-formats/inst_tune.html
AXOLOTL_ALPACA = {"instruction": (str, True), "input": (str, False), "output": (str, True)}
# https://docs.axolotl.ai/docs/dataset-formats/conversation.html and https://docs.axolotl.ai/docs/config-reference.html
AXOLOTL_DATASET = {
    "path": (str, True), "type": (str, True), "field_messages": (str, False),
    "message_property_mappings": (dict, False),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Hostile chains, and a response that came with its problem, in every format."""
    place = tmp_path_factory.mktemp("hostile")
    traces = [make_trace(A, index, text, text) for index, text in enumerate(HOSTILE)]
    given = [make_given("spring", HOSTILE[4])]
    store = make_store(place, [(trace, "correct") for trace in traces], given=given)
    export.export(store, place / "set", ExportSettings(formats=ALL), SAMPLING, seed=17)
    return place / "set"


def read(folder, name):
    """The rows of one format as its files hold them."""
    files = sorted((folder / ("data" if name == "default" else name)).iterdir())
    if name in ("default", "prompt_completion"):
        return [row for file in files for row in pq.read_table(file).to_pylist()]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def fits(row, schema):
    """Whether a row has the keys that it must, and every known one in its type."""
    return all(isinstance(row[key], kind) if key in row else not must for key, (kind, must) in schema.items())


def messages_of(name, row):
    """The messages that a rendered row stands for."""
    if name == "prompt_completion":
        return row["prompt"] + row["completion"]
    if name == "alpaca":
        assert row["input"] == ""
        return [{"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["output"]}]
    roles = {"human": "user", "gpt": "assistant"}
    return [{"role": roles[turn["from"]], "content": turn["value"]} for turn in row["conversations"]]


# ------------------------------------------------------------------ turns


@pytest.mark.parametrize(
    ("verifier", "reasoning", "answer", "asked", "told"),
    [
        ("math", "hm", "7", "Add.\n\nPlease reason step by step, and put your final answer within \\boxed{}.",
         "<think>\nhm\n</think>\n\n7"),
        ("code", "hm", "x",
         "Add.\n\nPlease reason step by step, and put your final program, in Python, within one ```python block.",
         "<think>\nhm\n</think>\n\nx"),
        ("none", None, " A poem.\n", "Add.", "<think>\n\n</think>\n\nA poem."),
    ],
)  # fmt: skip
def test_turns(verifier, reasoning, answer, asked, told):
    turns = formats.render_turns(" Add.\n", verifier, reasoning, answer)
    assert turns == [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]


def test_a_given_row_passes_the_audit_of_one_chain():
    from distill.dataset.audit import one_chain

    assert one_chain("", formats.render_turns("Write.", "none", None, "A poem.")[1]["content"])


# ------------------------------------------------------------------ rows


def test_rows():
    told = TURNS[1]["content"]
    assert formats.prompt_completion(ROW) == {"id": "c07a", "prompt": TURNS[:1], "completion": TURNS[1:]}
    assert formats.alpaca(ROW) == {"id": "c07a", "instruction": "What?", "input": "", "output": told}
    assert formats.sharegpt(ROW) == {
        "id": "c07a", "conversations": [{"from": "human", "value": "What?"}, {"from": "gpt", "value": told}],
    }  # fmt: skip


def test_a_system_prompt_is_a_key_of_its_own():
    assert formats.sharegpt(INSTRUCTED) == formats.sharegpt(ROW) | {"system": "Be brief."}
    assert formats.alpaca(INSTRUCTED) == formats.alpaca(ROW) | {"system": "Be brief."}
    assert [turn["role"] for turn in formats.prompt_completion(INSTRUCTED)["prompt"]] == ["system", "user"]


@pytest.mark.parametrize("name", ALL)
def test_every_format_gives_the_messages_back(folder, name):
    rows, rendered = read(folder, "default"), read(folder, name)
    assert [row["id"] for row in rendered] == [row["id"] for row in rows]
    assert [messages_of(name, row) for row in rendered] == [row["messages"] for row in rows]


def test_hostile_text_survives(folder):
    told = {row["messages"][1]["content"] for row in read(folder, "default")}
    expected = {formats.render_turns("", "gym", text, text)[1]["content"] for text in HOSTILE}
    assert told == expected | {formats.render_turns("", "none", None, HOSTILE[4])[1]["content"]}


def test_lines_are_ascii(folder):
    for name in ("sharegpt", "alpaca"):
        content = next((folder / name).iterdir()).read_bytes()
        assert content.isascii()
        assert len(content.decode().splitlines()) == len(HOSTILE) + 1


# ------------------------------------------------------------------ trainers


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("default", {}),
        ("default", {"name": "default"}),
        ("prompt_completion", {"name": "prompt_completion"}),
        ("sharegpt", {"data_dir": "sharegpt"}),
        ("alpaca", {"data_dir": "alpaca"}),
    ],
)
def test_datasets_loads_every_format(folder, tmp_path, name, how):
    import datasets

    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path), **how)
    assert list(loaded) == ["train"]
    rows = read(folder, name)
    assert [{key: row[key] for key in rows[0]} for row in loaded["train"]] == rows


def test_every_configuration_can_be_read(folder):
    import datasets

    assert datasets.get_dataset_config_names(str(folder)) == ["default", "prompt_completion"]


def test_trl_sees_chats(folder, root):
    from transformers import AutoTokenizer
    from trl import apply_chat_template, is_conversational

    tokenizer = AutoTokenizer.from_pretrained(root / layout.DATA / "models" / "tiny-qwen")
    for row, pair in zip(read(folder, "default"), read(folder, "prompt_completion"), strict=True):
        assert is_conversational(row)
        assert is_conversational(pair)
        whole = apply_chat_template({"messages": row["messages"]}, tokenizer)["text"]
        split = apply_chat_template(pair, tokenizer)
        assert split["prompt"] + split["completion"] == whole
        assert row["messages"][1]["content"] in split["completion"]


def test_trl_trains_on_them(folder):
    """The columns beside `messages` must not look like another kind of data set."""
    row = read(folder, "default")[0]
    assert {"prompt", "chosen", "rejected", "completion", "messages", "label"} & set(row) == {"messages"}
    pair = read(folder, "prompt_completion")[0]
    assert set(pair) == {"id", "prompt", "completion"}


def test_rows_fit_what_trainers_document(folder):
    assert all(fits(row, LLAMA_FACTORY_ALPACA) and fits(row, AXOLOTL_ALPACA) for row in read(folder, "alpaca"))
    for row in read(folder, "sharegpt"):
        assert fits(row, LLAMA_FACTORY_SHAREGPT)
        # human at odd places, gpt at even ones
        assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"]
        assert all(set(turn) == {"from", "value"} for turn in row["conversations"])


def test_llama_factory_finds_its_data_sets(folder):
    info = json.loads((folder / "dataset_info.json").read_text())
    assert list(info) == ["messages", "sharegpt", "alpaca"]
    for entry in info.values():
        assert fits(entry, LLAMA_FACTORY_ENTRY)
        assert set(entry) <= set(LLAMA_FACTORY_ENTRY)
        assert entry["formatting"] in ("alpaca", "sharegpt")
        assert set(entry["columns"]) <= LLAMA_FACTORY_COLUMNS
        assert set(entry.get("tags", {})) <= LLAMA_FACTORY_TAGS
        suffixes = {path.suffix for path in (folder / entry["file_name"]).iterdir()}
        assert len(suffixes) == 1, "a folder holds files of one type"
        assert suffixes <= {".parquet", ".jsonl"}


def test_llama_factory_reads_the_same_turns(folder):
    """By the keys of `dataset_info.json` alone, as its loader does."""
    info = json.loads((folder / "dataset_info.json").read_text())
    expected = [row["messages"] for row in read(folder, "default")]
    for name in ("messages", "sharegpt"):
        entry = info[name]
        tags, column = entry["tags"], entry["columns"]["messages"]
        roles = {tags["user_tag"]: "user", tags["assistant_tag"]: "assistant"}
        rows = read(folder, "default" if name == "messages" else name)
        found = [
            [{"role": roles[turn[tags["role_tag"]]], "content": turn[tags["content_tag"]]} for turn in row[column]]
            for row in rows
        ]
        assert found == expected
    columns = info["alpaca"]["columns"]
    rows = read(folder, "alpaca")
    assert [[row[columns["prompt"]], row[columns["response"]]] for row in rows] == [
        [turn["content"] for turn in turns] for turns in expected
    ]


def test_a_data_set_without_other_formats_serves_llama_factory_too():
    assert list(formats.dataset_info([])) == ["messages"]
    assert list(formats.dataset_info(["alpaca"])) == ["messages", "alpaca"]


def test_the_card_tells_other_trainers(folder):
    section = (folder / "README.md").read_text().split("## For other trainers")[1].split("\n## ")[0]
    llama_factory, axolotl = (YAML(typ="safe").load(block.split("```")[0]) for block in section.split("```yaml")[1:])
    assert llama_factory["dataset"] in json.loads((folder / "dataset_info.json").read_text())
    path = "path/to/this-data-set"
    names = {path: "default", f"{path}/sharegpt": "sharegpt", f"{path}/alpaca": "alpaca"}
    assert [entry["path"] for entry in axolotl["datasets"]] == list(names)
    for entry in axolotl["datasets"]:
        assert fits(entry, AXOLOTL_DATASET)
        assert set(entry) <= set(AXOLOTL_DATASET)
        row = read(folder, names[entry["path"]])[0]
        if entry["type"] == "chat_template":
            turns = row[entry["field_messages"]]
            assert all(set(turn) == set(entry["message_property_mappings"].values()) for turn in turns)
            assert set(entry["message_property_mappings"]) == {"role", "content"}
        else:
            assert entry["type"] == "alpaca"
