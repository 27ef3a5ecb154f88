"""The small process between a stage and its model server, so that no server outlives its stage.

    python -m distill.generation.guard <pid of the stage> <command of the server> …

The server and all its children live in a session of their own. When the stage is gone (were it killed with -9), when
the guard is told to stop, or when the server's main process ends, the whole session ends. The guard exits as the
server did. Were the guard itself killed with -9, the kernel asks the server to end.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

POLL_S = 0.2
GRACE_S = 5.0
PR_SET_PDEATHSIG = 1  # prctl(2), Linux


def main(stage: int, command: list[str]) -> int:
    """Run the server until it ends, the stage ends, or SIGTERM comes. Returns the server's exit code."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stage, which then says stop
    server = subprocess.Popen(command, start_new_session=True, preexec_fn=end_with_guard)
    while server.poll() is None and os.getppid() == stage and not stopping:
        time.sleep(POLL_S)
    end_session(server)
    return server.wait()


def end_with_guard() -> None:
    """Have the kernel send this process SIGTERM when its parent's thread ends; the guard has only one thread."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end_session(server: subprocess.Popen[bytes]) -> None:
    """Ask every process of the server's session to end, and end those that do not."""
    if not _signal_group(server.pid, signal.SIGTERM):
        return
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline:
        server.poll()  # reap, so that a dead leader is no member of its group
        if not _signal_group(server.pid, 0):
            return
        time.sleep(POLL_S)
    _signal_group(server.pid, signal.SIGKILL)


def _signal_group(group: int, signum: int) -> bool:
    """Signal a process group. Returns whether it has members."""
    try:
        os.killpg(group, signum)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
