import random

import numpy as np
import pytest

from distill.curation import quality
from distill.curation.quality import measure

ENGLISH = "First I add the two numbers. Then I check the sum once more, since carries are easy to miss. "
CHINESE = "首先我们把这两个数字相加，然后再检查一遍结果。"


def words(n: int, seed: int = 1) -> str:
    rng = random.Random(seed)
    return " ".join(f"{rng.getrandbits(32):x}" for _ in range(n))


@pytest.mark.parametrize(
    ("reasoning", "answer", "expected"),
    [
        ("think", "7", "ok"),
        (None, None, "no_chain"),
        (None, "7", "no_chain"),
        ("", "7", "empty_chain"),
        ("think", "", "empty_answer"),
        ("a <think> b", "7", "stray_tag"),
        ("a", "7 </think>", "stray_tag"),
    ],
)
def test_format(reasoning, answer, expected):
    assert measure(reasoning, answer, "text").format == expected


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        (ENGLISH, 0, 0),
        (ENGLISH + "π ≈ 3.14, α → β, ℝ, 𝑥² ≤ 10 €", 0, 0),  # mathematics is no language
        (CHINESE, 0, 0),  # one language, though not English
        (ENGLISH * 5 + CHINESE, 0.05, 0.15),
        (CHINESE * 5 + ENGLISH, 0.35, 0.6),
        (ENGLISH * 5 + "Давайте проверим ещё раз. ", 0.03, 0.1),
        (ENGLISH + f"```python\n# {CHINESE}\n```", 0, 0),
        (ENGLISH + f"$\\text{{{CHINESE}}}$", 0, 0),
        ("café naïve Łódź", 0, 0),
        ("ひらがなとカタカナと漢字", 0, 0),
        ("123 + 4 = 127 ✓", 0, 0),
        ("", 0, 0),
    ],
)
def test_foreign_share(text, low, high):
    assert low <= quality.foreign_share(text) <= high


def test_loops_and_sound_text():
    loop = measure("Let me check that again. " * 400, "7", "")
    assert loop.tail_ratio < 0.05
    assert loop.repeated_share > 0.9
    assert loop.repeated_sentences == 400
    sound = measure(words(2_000), "7", "")
    assert sound.tail_ratio > 0.3
    assert (sound.repeated_share, sound.repeated_sentences) == (0.0, 1)
    assert measure("short", "7", "").tail_ratio == 1.0


def test_a_loop_of_many_sentences_is_seen():
    period = ". ".join(words(12, seed) for seed in range(4)) + ". "
    found = measure(period * 30, "7", "")
    assert found.repeated_sentences == 1
    assert found.repeated_share > 0.8


def test_paragraphs_and_code():
    found = measure("one\n\n" + "x" * 700 + "\n\nthree\n```python\nprint(1)\n```\n", "7", "")
    assert found.longest_paragraph == 700
    assert found.code_fences == 1


@pytest.mark.parametrize(
    ("chain", "answer", "agreement", "final"),
    [
        ("so \\boxed{7}", "\\boxed{7}", "same", "7"),
        ("so \\boxed{8}", "\\boxed{7}", "other", "7"),
        ("first \\boxed{8}, no: \\boxed{\\frac{1}{2}}", "\\boxed{0.5}", "same", "0.5"),
        ("no box", "\\boxed{ 7. }", "none", "7"),
        ("\\boxed{7}", "no box", "none", None),
        ("\\boxed{", "\\boxed{7}", "none", "7"),
        ("\\boxed{7}" * 99, "\\boxed{7}", "none", "7"),
    ],
)
def test_answers(chain, answer, agreement, final):
    found = measure(chain, answer, "")
    assert (found.chain_answer, found.final_answer) == (agreement, final)


def test_a_text_without_a_chain_is_measured_whole():
    assert measure(None, None, "and so on " * 300).characters == 3_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00",
        "\ud800 lone",
        "\\boxed{" * 5_000,
        "```" * 5_001,
        "$" * 9_999,
        "a." * 50_000,
        "\n\n" * 9_999,
        "界" * 50_000,
    ],
)
def test_hostile_text_is_measured(text):
    found = measure(text, text, text)
    assert found.characters >= len(text)


def test_signatures_estimate_jaccard():
    base = words(2_000).split()
    changed = [*base]
    changed[500] = changed[1_500] = "other"
    texts = [" ".join(base), " ".join(base), " ".join(changed), words(2_000, 2), "two words", "", "two words"]
    found = quality.signatures(texts)
    assert found.shape == (7, quality.PERMUTATIONS)
    assert found.dtype == np.uint32

    def similarity(one, other):
        return (found[one] == found[other]).mean()

    assert similarity(0, 1) == similarity(4, 6) == 1.0
    assert similarity(0, 2) > 0.95
    assert similarity(0, 3) < 0.1
    assert similarity(4, 5) < 0.1
    assert (quality.signatures(texts[:1])[0] == found[0]).all(), "a signature does not see the others"
