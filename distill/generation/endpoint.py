"""Where a model is served. Placement comes from the environment and never from params, so another host re-runs nothing.

DISTILL_TEACHER_URL      an OpenAI-compatible server, as https://host/v1, or several with commas between them;
                         without it vLLM is started here
DISTILL_TEACHER_API_KEY  its key; read at the moment of use, never logged, never stored
DISTILL_CONCURRENCY      requests in flight; by default the server's max_num_seqs
"""

import os
from dataclasses import dataclass, field

from distill.errors import ConfigError
from distill.models import ModelRevision, url_variable
from distill.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class Serving:
    """How a model is served: what decides its answers (dtype, context), and its placement."""

    dtype: str
    max_model_len: int
    server: ServerSettings


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible server. `seeds` says whether a request may carry one (vLLM's CPU engine can die of it)."""

    url: str
    model: str
    engine: str
    seeds: bool
    api_key: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}


def from_environment(model: ModelRevision) -> list[Endpoint]:
    """The endpoints that the environment names for this model, if it names any."""
    variable = url_variable(model.name)
    key = os.environ.get(f"{variable.removesuffix('_URL')}_API_KEY")
    found = []
    for part in os.environ.get(variable, "").split(","):
        url = part.strip().rstrip("/")
        if url and not url.startswith(("http://", "https://")):
            raise ConfigError(f"{variable} must be like https://host/v1, or several with commas between, got {url!r}")
        if url:
            url = url if url.endswith("/v1") else f"{url}/v1"
            found.append(Endpoint(url, model.model, "url", seeds=True, api_key=key))
    return found


def concurrency(server: ServerSettings) -> int:
    """How many requests are in flight at once."""
    value = os.environ.get("DISTILL_CONCURRENCY", "")
    if value and not (value.isdigit() and int(value) > 0):
        raise ConfigError(f"DISTILL_CONCURRENCY must be a number above 0, got {value!r}")
    return int(value) if value else server.max_num_seqs
