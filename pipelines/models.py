"""Resolve the teacher and every student's base to the exact weights that params mean."""

import shutil

from distill import layout, models, stage
from distill.config import Params


def body(params: Params) -> stage.Result:
    """Write one JSON per model to `data/revisions/`."""
    teacher = models.resolve(layout.TEACHER, params.teacher.model, params.teacher.revision)
    bases = [
        models.resolve(layout.base_name(name), student.base, student.revision, student.chat_template)
        for name, student in sorted(params.students.items())
    ]
    shutil.rmtree(layout.REVISIONS, ignore_errors=True)  # a student that is gone leaves no revision behind
    for model in [teacher, *bases]:
        models.write_revision(model)
    named = ", ".join(f"{model.name} {model.model} ({model.revision[:15]})" for model in [teacher, *bases])
    return stage.Result(f"{1 + len(bases)} models: {named}")


if __name__ == "__main__":
    stage.run("models", body)
