r"""Text that others wrote, on its way into a page: nothing in it hides, turns the line, or means anything to HTML.

visible("safe \u202egnp.exe")            ->  "safe U+202Egnp.exe"
as_json({"chain": "</script>"})          ->  {"chain":"\u003c/script\u003e"}
"""

import json
import unicodedata
from itertools import groupby
from typing import Any

HIDDEN = {"Cc", "Cf", "Zl", "Zp"}  # Unicode's categories: controls, formats, separators of lines and of paragraphs
PLAIN = "\n\t\u200c\u200d"  # joiners are letters' and emojis' own
LIVE = "<>&\u2028\u2029"  # what HTML or a line of script might take for its own


def visible(text: str) -> str:
    """A text with the characters spelled out that show nothing themselves, as browser.js spells them."""
    runs = groupby(text.replace("\r\n", "\n"), _hides)
    return "".join(" ".join(f"U+{ord(c):04X}" for c in run) if hidden else "".join(run) for hidden, run in runs)


def _hides(character: str) -> bool:
    return unicodedata.category(character) in HIDDEN and character not in PLAIN


def as_json(value: Any) -> str:
    """JSON for a script element: no character of it means anything to HTML, or ends a line of script."""
    said = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in LIVE:  # where a text is not all ASCII, eight times as fast as str.translate
        said = said.replace(character, f"\\u{ord(character):04x}")
    return said
