"""What is known of reasoning-gym's tasks: how each can be graded soundly, measured on 0.1.25.

`NUMERIC`   one number as the answer: compared as exact fractions, no scorer needed
`SCORED`    by the task's own scorer, inside the sandbox. A few of these scorers run the answer as code: they see only
            answers made of what the pattern allows.
`REFUSED`   tasks that cannot be graded, and why

tests/verification/test_gym.py shows every task of the first two its own answer, nothing, `banana` and the answer of
another problem.
"""

import re

NUMERIC = frozenset({
    "basic_arithmetic", "binary_alternation", "chain_sum", "count_bits", "count_primes", "decimal_chain_sum", "gcd",
    "gsm_symbolic", "largest_island", "lcm", "leg_counting", "letter_counting", "maze", "number_sequence", "products",
    "rectangle_count", "rotten_oranges", "simple_equations", "simple_geometry",
})  # fmt: skip

_ANY = re.compile(r".*", re.DOTALL)
_GRID = re.compile(r"[\d\s,\[\]]*")
_POLYNOMIAL = re.compile(r"(?:[\d\s()+\-*/]|(?<![A-Za-z])[A-Za-z](?![A-Za-z]))*")
SCORED = dict.fromkeys((
    "ab", "acre", "advanced_geometry", "aiw", "arc_1d", "arc_agi", "base_conversion", "bf", "bitwise_arithmetic",
    "caesar_cipher", "calendar_arithmetic", "circuit_logic", "codeio", "coin_flip", "color_cube_rotation",
    "complex_arithmetic", "course_schedule", "cryptarithm", "decimal_arithmetic", "dice", "emoji_mystery",
    "family_relationships", "figlet_font", "fraction_simplification", "futoshiki", "game_of_life", "group_anagrams",
    "jugs", "kakurasu", "knights_knaves", "letter_jumble", "list_functions", "mahjong_puzzle", "manipulate_matrix",
    "mini_sudoku", "modulo_grid", "needle_haystack", "number_filtering", "number_format", "number_sorting",
    "palindrome_generation", "palindrome_partitioning", "path_star", "polynomial_equations", "pool_matrix",
    "power_function", "prime_factorization", "quantum_lock", "rearc", "rotate_matrix", "self_reference",
    "sentence_reordering", "shortest_path", "sokoban", "spell_backward", "string_manipulation", "string_splitting",
    "string_synthesis", "sudoku", "survo", "syllogism", "time_intervals", "tower_of_hanoi", "tsumego",
    "word_sequence_reversal", "word_sorting", "zebra_puzzles",
), _ANY) | {
    "binary_matrix": _GRID,
    "countdown": re.compile(r"(?:[\d\s()+\-/]|\*(?!\*))*"),
    "n_queens": re.compile(r"[Q_\s]*"),
    "simple_integration": _POLYNOMIAL,
    "spiral_matrix": _GRID,
    "string_insertion": re.compile(r"[A-Za-z]*"),
}  # fmt: skip

_NO_ANSWER = "it gives no reference answer"
_UNSTABLE = "its problems change with PYTHONHASHSEED, so they cannot be made again"
REFUSED = {
    "boxnet": _NO_ANSWER,
    "composite": "it is a mixture of tasks; name them as sources of their own",
    "game_of_life_halting": "its scorer gives full marks to any text",
    "graph_color": _NO_ANSWER,
    "intermediate_integration": "its scorer runs the answer as code and takes the unsolved integral for a solution",
    "isomorphic_strings": _UNSTABLE,
    "knight_swap": _UNSTABLE,
    "polynomial_multiplication": f"{_UNSTABLE}, and its scorer runs the answer as code",
    "propositional_logic": _NO_ANSWER,
    "puzzle24": "its scorer runs the answer as code and does not look whether the given numbers are used",
    "ransom_note": _UNSTABLE,
    "rubiks_cube": _NO_ANSWER,
    "rush_hour": _NO_ANSWER,
    "word_ladder": _UNSTABLE,
}


def why_refused(task: str) -> str | None:
    """Why a task is not to be used, or None for one that can be graded."""
    if task in NUMERIC or task in SCORED:
        return None
    return REFUSED.get(task, "it was never shown to be graded soundly")
