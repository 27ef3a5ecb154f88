"""What a chat template must not do, asked of the template itself before a row is rendered.

missing   there is none, or it cannot be rendered
clock     the prompt would differ from day to day, so training and serving would
empty     it closes a chain of thought before the student speaks, who would be taught a second
end       it ends a turn with text that is no control token, so no server stops there

    Llama-3.2   …Today Date: 25 Nov 2026…       refused; Llama-3.1 writes a fixed 26 Jul 2024, and passes
"""

from datetime import datetime
from typing import Any

from distill.errors import DataError
from distill.prompting import THINK_CLOSE, Message
from distill.students import TEMPLATES

PROBE = "ANSWER"  # stands for a turn when a template is asked what it writes around one
FIXED_DATE = "26 Jul 2024"  # what Llama's templates say where no clock is
# Two moments that no format writes alike: other year, month, day, weekday and hour.
CLOCKS = (datetime(2001, 2, 3, 4, 5, 6), datetime(2013, 11, 10, 21, 18, 17))


def require(tokenizer: Any, model: str) -> None:
    """See that a tokenizer's template can be trained on. Raises `DataError` with the cure."""
    if not tokenizer.chat_template:
        raise DataError(
            f"{model} has no chat template; name one that fits its control tokens as the student's chat_template "
            f"({TEMPLATES} holds some), or take the model's -Instruct version"
        )
    prompts = [_render(tokenizer, model, clock) for clock in CLOCKS]
    if prompts[0] != prompts[1]:
        raise DataError(f"the chat template of {model} writes today's date, so {_pin(tokenizer, model)}")
    if THINK_CLOSE in prompts[0].rpartition(PROBE)[2]:
        raise DataError(
            f"the chat template of {model} closes an empty chain of thought before the reply, so the student would be "
            f"taught two; name a copy without it, in {TEMPLATES}, as the student's chat_template"
        )


def render_at(tokenizer: Any, messages: list[Message], clock: datetime, tokenize: bool, **given: Any) -> Any:
    """A prompt as a server would build it at another time, as text or as ids."""
    rendered = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=tokenize, strftime_now=clock.strftime, **given
    )
    return list(rendered["input_ids"]) if tokenize else str(rendered)


def end_of_turn(tokenizer: Any, stops: frozenset[int], model: str) -> int:
    """The id with which the template ends a reply.

    A base model may end its turns with a control token at which its generation config does not stop (Qwen2.5's
    bases do); it is taken, and the student that ships stops at it.
    """
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": PROBE}]
    rendered = tokenizer.apply_chat_template(turns, tokenize=False)
    tail = tokenizer(rendered.rpartition(PROBE)[2], add_special_tokens=False).input_ids
    closing = [token for token in tail if token in stops] or [
        token for token in tail[:1] if token in tokenizer.added_tokens_decoder
    ]
    if not closing and tail and tokenizer.decode(tail).strip():
        raise DataError(
            f"the chat template of {model} ends a turn with {tokenizer.decode(tail)!r}, which is no control token; "
            "add the token that ends a turn to its template and to eos_token_id in generation_config.json"
        )
    if not closing and tokenizer.eos_token_id is None:
        raise DataError(f"{model} has no token that ends a turn; set eos_token in its tokenizer_config.json")
    return int(closing[0] if closing else tokenizer.eos_token_id)


def _render(tokenizer: Any, model: str, clock: datetime, **given: Any) -> str:
    from jinja2 import TemplateError

    try:
        return str(render_at(tokenizer, [{"role": "user", "content": PROBE}], clock, False, **given))
    except (TemplateError, TypeError) as error:  # TypeError: what a template does to a value that is not there
        raise DataError(
            f"the chat template of {model} cannot be rendered ({' '.join(str(error).split())}); "
            f"correct it, or name another in {TEMPLATES} as the student's chat_template"
        ) from error


def _pin(tokenizer: Any, model: str) -> str:
    """What a dated template leads to, and the cure: a copy in which the date stands still."""
    dated = [_render(tokenizer, model, clock, date_string=FIXED_DATE) for clock in CLOCKS]
    pin = f'begins with {{%- set date_string = "{FIXED_DATE}" %}}' if dated[0] == dated[1] else "holds a fixed date"
    return f"training and serving would differ; name a copy that {pin}, in {TEMPLATES}, as the student's chat_template"
