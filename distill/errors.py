"""The errors a person may see. Each is one sentence that names the key, row or file, and the cure.

    DistillError            exit 1   anything a user can cure
    ├── ConfigError         exit 2   params.yaml is wrong; no model has been touched
    ├── DataError           exit 1   a row or a file is wrong
    ├── ServerError         exit 1   a model server did not start or cannot answer
    └── Incomplete          exit 75  work is left; run the same command again to go on

Exit 75 is BSD's EX_TEMPFAIL. DVC takes any 0 for "done", so a stage ends with 0 only when it is complete.
"""


class DistillError(Exception):
    """A fault that a user can cure; `str(error)` is the sentence shown."""

    exit_code = 1


class ConfigError(DistillError):
    """`params.yaml` holds something that cannot be used."""

    exit_code = 2


class DataError(DistillError):
    """A row or a file holds something that cannot be used."""


class ServerError(DistillError):
    """A model server did not start, died too often, or answers in a way that cannot be used."""


class Incomplete(DistillError):
    """Work is left: what was done is kept, and the same command goes on from there."""

    exit_code = 75
