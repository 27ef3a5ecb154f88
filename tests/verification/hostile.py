"""What model text can make a grader do, as functions that a worker imports."""

import os
import time

from distill.records import Method, Outcome
from distill.verification.findings import Finding


def behave(how: str) -> str:
    if how == "hang":
        time.sleep(60)
    if how == "hold the interpreter":
        return str(len(str(9 ** (9**9))))
    if how == "eat memory":
        return str(len(bytearray(8 * 2**30)))
    if how == "die":
        os._exit(3)
    if how == "be killed":
        os.kill(os.getpid(), 9)
    return f"done {how}"


def pid_of(_: int) -> int:
    return os.getpid()


def sleep_long(_: int) -> None:
    time.sleep(120)


def raise_fault(_: int) -> None:
    raise ZeroDivisionError("a fault of the program")


def lie(_: tuple[str, str]) -> Finding:
    return Finding(Outcome.CORRECT, Method.SYMBOLIC, "says yes to everything")
