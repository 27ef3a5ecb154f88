r"""LiveCodeBench's files into rows that a `file` source reads: a prompt, and tests as APPS spells them.

    python -m pipelines.benchmarks.livecodebench test5.jsonl test6.jsonl > data/livecodebench.jsonl

    in   {"question_content": "…", "starter_code": "", "public_test_cases": "[{\"input\": \"3\\n\", …}]",
          "private_test_cases": "eJxr…", "metadata": "{}", …}
    out  {"prompt": "…", "tests": {"inputs": ["3\n"], "outputs": ["6\n"]}, "id": "abc301_a", "date": "2023-05-13"}

The hidden tests are JSON as a pickled string, deflated, in base64. A pickle can run code; this one may hold no object.
"""

import base64
import io
import json
import pickle
import sys
import zlib
from pathlib import Path
from typing import Any

STDIN = "Read the input from standard input, and write the answer to standard output."
STARTER = "Complete this code; keep its names.\n\n```python\n{}\n```"


class PlainUnpickler(pickle.Unpickler):
    """Reads strings and numbers. Refuses everything that would be looked up by name."""

    def find_class(self, module: str, name: str) -> Any:
        """No class is needed for a string."""
        raise pickle.UnpicklingError(f"the tests hold {module}.{name}, not a string; this is no file of LiveCodeBench")


def convert(row: dict[str, Any]) -> dict[str, Any]:
    """One row of the hub's files as a row of ours."""
    cases = [*json.loads(row["public_test_cases"]), *_hidden(row["private_test_cases"])]
    tests: dict[str, Any] = {"inputs": [case["input"] for case in cases], "outputs": [case["output"] for case in cases]}
    if function := json.loads(row["metadata"] or "{}").get("func_name"):
        tests["fn_name"] = function.split(".")[-1]
    form = STARTER.format(row["starter_code"].rstrip()) if row["starter_code"].strip() else STDIN
    prompt = f"{row['question_content'].strip()}\n\n{form}"
    return {"prompt": prompt, "tests": tests, "id": row["question_id"], "date": row["contest_date"][:10]}


def _hidden(packed: str) -> list[dict[str, Any]]:
    """The hidden tests: plain JSON in early files, packed in the others."""
    try:
        cases = json.loads(packed)
    except ValueError:
        cases = json.loads(PlainUnpickler(io.BytesIO(zlib.decompress(base64.b64decode(packed)))).load())
    return list(cases)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        with Path(name).open(encoding="utf-8") as lines:
            for line in lines:
                print(json.dumps(convert(json.loads(line))))
