"""export: a policy picks traces; they become a Hugging Face data set with its card."""

from distill import layout, stage
from distill.config import Params
from distill.dataset.export import export


def body(params: Params) -> stage.Result:
    """Write the data set."""
    made = export(layout.STORE, layout.DATASET, params.export, params.generate, params.seed)
    line = f"{made['rows']:,} traces of {made['problems']:,} problems by policy {made['policy']} -> {layout.DATASET}"
    return stage.Result(line, {name: made[name] for name in ("rows", "problems", "tokens", "sources")})


if __name__ == "__main__":
    stage.run("export", body)
