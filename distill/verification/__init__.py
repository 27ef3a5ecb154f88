"""Verdicts: every trace is compared with its problem's reference answer, by code that trusts neither."""
