"""Generated tasks with one number as the answer, compared exactly.

reasoning-gym's own scorers are not used: several of its 99 run the model's answer as code, most punish white space and
some give partial credit to any text. The tasks that `distill.problems.sources` accepts all have one integer or
decimal as the answer, so equality of fractions is the whole truth: `07`, `+7`, `7.0`, `14/2` and `x = 7` are 7.
"""

from fractions import Fraction

from distill.records import Method, Outcome
from distill.verification import answers
from distill.verification.findings import Finding
from distill.verification.structure import bare_value


def compare(gold: str, answer: str) -> Finding:
    """Compare two answers as numbers; text that is no number is never a guess."""
    if max(len(gold), len(answer)) > answers.MAX_CHARACTERS:
        return Finding(Outcome.LIMIT, Method.NONE, f"an answer of more than {answers.MAX_CHARACTERS:,} characters")
    gold_value, answer_value = _value(gold), _value(answer)
    if gold_value is None:
        return Finding(Outcome.UNPARSED_GOLD, Method.NONE, "the reference is not a number")
    if answer_value is None:
        return Finding(Outcome.UNPARSED_ANSWER, Method.NONE, "the answer is not a number")
    equal = gold_value == answer_value
    return Finding(Outcome.CORRECT if equal else Outcome.INCORRECT, Method.EXACT, "compared as exact fractions")


def _value(text: str) -> Fraction | None:
    text = bare_value(answers.normalise(text))
    value = answers.quantity(text)
    return None if value.unit == "%" or value.unit.startswith("_") else answers.number(value.value)
