r"""The shape of an answer: lists, tuples, sets, intervals and unions are taken apart here, never by the parser.

The parser reads `(1,2)` as an interval that equals the set `{1,2}`, and `(2,1)` and `(5,3)` both as the empty set. So
delimiters are compared as text, and only single values go on.

    shape(r"\{3, 1\}")  ->  Shape(opened="{", closed="}", items=("3", "1"))
    shape("[0, 2)")     ->  Shape(opened="[", closed=")", items=("0", "2"))
    shape("1, 2")       ->  Shape(opened="", closed="", items=("1", "2"))
    shape("7")          ->  None
"""

import re
from dataclasses import dataclass

_OPENERS = {"(": ")", "[": "]", "{": "}"}
_ASSIGNMENT = re.compile(
    r"[A-Za-z](?:_\{?\w+\}?)?(?:\([a-z](?:,\s?[a-z])*\))?\s?(?:=|\\in(?![a-zA-Z]))\s?(?P<value>[^=<>]+)"
)
_PLUS_MINUS = re.compile(r"\\pm(?![a-zA-Z])")
_SUBSCRIPT = re.compile(r"_\{[^{}]*\}")  # the `k=1` of a sum is no equation
_LESS = r"\s?(<|\\le(?![a-zA-Z]))\s?"
_MORE = r"\s?(>|\\ge(?![a-zA-Z]))\s?"
_BETWEEN = re.compile(rf"(?P<low>[^<>=]+?){_LESS}[A-Za-z]{_LESS}(?P<high>[^<>=]+)")
_BELOW = re.compile(rf"[A-Za-z]{_LESS}(?P<end>[^<>=]+)")
_ABOVE = re.compile(rf"[A-Za-z]{_MORE}(?P<end>[^<>=]+)")
_FLIPPED = re.compile(r"([^<>=\\]+?)\s?(<|>|\\[lg]e(?![a-zA-Z]))\s?([A-Za-z])")
_OPPOSITE = {"<": ">", ">": "<", r"\le": r"\ge ", r"\ge": r"\le "}
_RELATION = re.compile(r"=|<|>|\\(?:le|ge|ne|neq|lt|gt)(?![a-zA-Z])")


@dataclass(frozen=True, slots=True)
class Shape:
    """A list of items and its delimiters; both are empty for a bare list, `u` for a union."""

    opened: str
    closed: str
    items: tuple[str, ...]

    @property
    def ordered(self) -> bool:
        """Whether the order of the items means something, as in tuples and intervals."""
        return self.opened in ("(", "[")

    def may_equal(self, other: "Shape") -> bool:
        """Whether the delimiters agree, or one side is a bare list and the other a tuple or set."""
        kinds = {(self.opened, self.closed), (other.opened, other.closed)}
        return len(kinds) == 1 or (("", "") in kinds and bool(kinds & {("(", ")"), ("{", "}")}))


def shape(text: str) -> Shape | None:
    r"""Take a list apart, or return None for a single value. `a \pm b` is the list of its two values."""
    text = text.replace(r"\{", "{").replace(r"\}", "}") if text.startswith(r"\{") else text
    parts = split_top_level(text, r"\cup")
    if len(parts) > 1:
        return Shape("u", "u", parts)
    bare = split_top_level(text, _separator(text))
    if len(bare) > 1 and not re.fullmatch(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?%?(?: [A-Za-z ]+)?", text):
        return Shape("", "", bare)
    if len(_PLUS_MINUS.findall(text)) == 1:
        return Shape("", "", (_PLUS_MINUS.sub("+", text), _PLUS_MINUS.sub("-", text)))
    return _enclosed(text)


def _enclosed(text: str) -> Shape | None:
    """A text whose first delimiter is closed by its last one, when it holds a list; `(5)` holds none, `{5}` does."""
    if len(text) < 2 or text[0] not in _OPENERS or text[-1] not in ")]}" or not _wraps(text):
        return None
    items = split_top_level(text[1:-1], _separator(text))
    return Shape(text[0], text[-1], items) if len(items) > 1 or text[0] == "{" else None


def _separator(text: str) -> str:
    """Items are set apart by semicolons where there is one, as where commas are decimal points."""
    return ";" if ";" in text else ","


def _wraps(text: str) -> bool:
    """Whether the first character's group ends with the last character."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return index == len(text) - 1
    return False


def split_top_level(text: str, separator: str) -> tuple[str, ...]:
    """Split where no bracket is open, and strip the parts."""
    parts, depth, start, index = [], 0, 0, 0
    while index < len(text):
        depth += (text[index] in "([{") - (text[index] in ")]}")
        if depth == 0 and text.startswith(separator, index):
            parts.append(text[start:index].strip())
            start = index = index + len(separator)
        else:
            index += 1
    return (*parts, text[start:].strip())


def bare_value(text: str) -> str:
    r"""`x = 5`, `f(x) = 5` and `x \in S` as their right side, `(5)` as 5; everything else as it is."""
    match = _ASSIGNMENT.fullmatch(text)
    text = match["value"] if match else text
    while text.startswith("(") and text.endswith(")") and _wraps(text) and "," not in text:
        text = text[1:-1].strip()
    return text


def as_interval(text: str) -> str | None:
    r"""`0 < x \le 5` as `(0,5]`, `x > 2` as `(2,\infty)`, the real numbers as their interval; None for all else."""
    if text in (r"\mathbb{R}", r"x\in\mathbb{R}", r"x \in \mathbb{R}"):
        return r"(-\infty,\infty)"
    if match := _FLIPPED.fullmatch(text):
        text = f"{match[3]}{_OPPOSITE[match[2]]}{match[1]}"
    if match := _BETWEEN.fullmatch(text):
        opened, closed = "(" if match[2] == "<" else "[", ")" if match[3] == "<" else "]"
        return f"{opened}{match['low']},{match['high']}{closed}"
    if match := _BELOW.fullmatch(text):
        return f"(-\\infty,{match['end']}{')' if match[1] == '<' else ']'}"
    if match := _ABOVE.fullmatch(text):
        return f"{'(' if match[1] == '>' else '['}{match['end']},\\infty)"
    return None


def is_relation(text: str) -> bool:
    """Whether a text states an equation or an inequality."""
    return _RELATION.search(_SUBSCRIPT.sub("", text)) is not None
