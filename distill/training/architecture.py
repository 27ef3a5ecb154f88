"""The student's architecture: the base's own config.json, with another context where params ask for one.

    {"architectures": ["Qwen2ForCausalLM"], "max_position_embeddings": 32768, "rope_theta": 300000.0, …}

Training and the folder that ships both take it from here, so what is served is what was trained.
"""

import json
from pathlib import Path
from typing import Any

from distill.models import ModelRevision
from distill.students import StudentSettings


def shape(base: ModelRevision, settings: StudentSettings) -> dict[str, Any]:
    """The content of the student's config.json. Keys that only vLLM reads are kept: transformers would drop them."""
    config: dict[str, Any] = json.loads((Path(str(base.path)) / "config.json").read_text())
    if settings.rope is None:
        return config
    config["max_position_embeddings"] = settings.rope.max_position_embeddings
    if settings.rope.theta is not None:
        if "rope_parameters" in config:  # as transformers 5 writes it
            config["rope_parameters"] = config["rope_parameters"] | {"rope_theta": settings.rope.theta}
        if "rope_theta" in config or "rope_parameters" not in config:
            config["rope_theta"] = settings.rope.theta
    return config


def model_config(base: ModelRevision, settings: StudentSettings) -> Any:
    """The same as an object of transformers."""
    from transformers import CONFIG_MAPPING

    config = shape(base, settings)
    return CONFIG_MAPPING[config["model_type"]].from_dict(config)
