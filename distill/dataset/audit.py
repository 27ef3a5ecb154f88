"""The proof, on the token ids, of what a student is taught. Every row passes every check, or nothing is trained.

prompt    its ids are what a server builds from the same messages, and none of them is trained
think     the reply opens its chain once and closes it once (the opening may be the template's)
reply     the trained ids decode to the reply, all of it, character by character
stop      the last trained id ends a turn, and it comes once
pad       padding is never trained
length    nothing is longer than max_length, so nothing is cut
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from distill.errors import DataError
from distill.prompting import THINK_CLOSE, THINK_OPEN, is_prefilled, render_prompt

if TYPE_CHECKING:
    from distill.dataset.tokenize import Example

BIN = 64  # tokens, of the histogram of lengths
CURES = {
    "prompt": "the template renders differently here than in a server; fix its chat_template",
    "think": "the policy let a chain through that is not one <think>…</think>; exclude it there",
    "reply": "the tokenizer does not give the text back; it belongs to another model",
    "stop": "set eos_token_id in the base's generation_config.json to the token that ends a turn",
    "pad": "the pad token must not be one the student writes; give the tokenizer a pad token of its own",
    "length": "raise max_length",
}


def prove(
    rows: Sequence[tuple[dict[str, Any], "Example"]], tokenizer: Any, stop: int, max_length: int
) -> dict[str, Any]:
    """Check every row; return counts and the histogram of lengths. Raises `DataError` naming row, check and cure."""
    for row, example in rows:
        for name, holds in _checks(row, example, tokenizer, stop, max_length).items():
            if not holds:
                raise DataError(f"audit: row {example.id} of {example.source} fails the check {name!r}; {CURES[name]}")
    lengths = Counter(example.n_tokens // BIN * BIN for _, example in rows)
    trained = sum(example.n_tokens - example.n_prompt for _, example in rows)
    return {
        "rows": len(rows),
        "tokens": sum(example.n_tokens for _, example in rows),
        "trained_tokens": trained,
        "stop_id": stop,
        "checks": sorted(CURES),
        "lengths": {str(length): lengths[length] for length in sorted(lengths)},
    }


def _checks(row: dict[str, Any], example: "Example", tokenizer: Any, stop: int, max_length: int) -> dict[str, bool]:
    """Each check by name, and whether the row holds it. Ids are compared, not what should have made them."""
    *asked, reply = row["messages"]
    prompt_ids, reply_ids = example.input_ids[: example.n_prompt], example.input_ids[example.n_prompt :]
    served = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"]
    prefilled = is_prefilled(render_prompt(tokenizer, asked))
    text = tokenizer.decode(reply_ids[:-1], clean_up_tokenization_spaces=False)
    whole = f"{THINK_OPEN}\n{text}" if prefilled else text
    trained = [label for label in example.labels if label >= 0]
    return {
        "prompt": prompt_ids == list(served) and all(label < 0 for label in example.labels[: example.n_prompt]),
        "think": whole.count(THINK_OPEN) == 1 and whole.count(THINK_CLOSE) == 1 and whole.startswith(THINK_OPEN),
        "reply": whole == reply["content"] and trained == reply_ids,
        "stop": bool(reply_ids) and reply_ids[-1] == stop and stop not in reply_ids[:-1],
        "pad": tokenizer.pad_token_id is None or tokenizer.pad_token_id not in trained,
        "length": example.n_tokens <= max_length,
    }
