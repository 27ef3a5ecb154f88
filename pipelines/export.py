"""export: a policy picks traces; they become a Hugging Face data set with its card."""

from distill import layout, stage
from distill.config import Params
from distill.dataset.export import export


def body(params: Params) -> stage.Result:
    """Write the data set."""
    manifest = export(layout.STORE, layout.DATASET, params.export, params.generate, params.seed)
    line = f"{manifest['rows']:,} traces of {manifest['problems']:,} problems by the policy {params.export.policy}"
    counts = {name: manifest[name] for name in ("rows", "problems", "tokens", "sources")}
    return stage.Result(f"{line} -> {layout.DATASET}", counts)


if __name__ == "__main__":
    stage.run("export", body)
