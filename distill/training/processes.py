"""One process among several that train together: which one writes, and the whole model at the end.

Outside of a launch all of it does nothing.
"""

import os
from collections.abc import Callable
from typing import Any

from distill.errors import DataError


def is_main() -> bool:
    """Whether this is the process that prints, writes and ships."""
    return os.environ.get("RANK", "0") == "0"


def sharding() -> tuple[str, ...]:
    """How weights and optimizer are shared, for the name of a run; empty where each process has all.

    Checkpoints of FSDP and ZeRO hold an optimizer that the others pass over in silence.
    """
    names = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
    return tuple(name for name in names if os.environ.get(name, "false").lower() == "true")


def gather(found: Any) -> list[Any]:
    """What each process found; every one takes part."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return [found]
    from accelerate.utils import gather_object

    return list(gather_object([found]))


def leave() -> None:
    """Leave the process group, if there is one."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def whole_model(trainer: Any, rebuild: Callable[[], Any]) -> Any:
    """The trained model with all its weights, in process 0; every process takes part in gathering them.

    `rebuild` makes the model as it was before training. Raises `DataError` when a weight does not come back.
    """
    if not sharding():
        return trainer.model
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    unset_hf_deepspeed_config()  # or what is loaded from here on is shared out again
    return fill(rebuild(), weights) if is_main() else trainer.model


def fill(model: Any, weights: dict[str, Any]) -> Any:
    """A model with these weights. Raises `DataError` unless all its tensors are there, by one name or another."""
    unknown = model.load_state_dict(weights, strict=False).unexpected_keys
    held = model.state_dict()
    given = {held[name].data_ptr() for name in weights.keys() & held.keys()}
    absent = [name for name, tensor in held.items() if tensor.data_ptr() not in given]
    if absent or unknown:
        raise DataError(
            f"{[*absent, *unknown][0]} did not come back from the processes that trained it "
            f"({len(absent)} weights missing, {len(unknown)} unknown); train in plain copies by ddp.yaml"
        )
    return model
