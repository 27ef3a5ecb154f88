"""A stand-in for a model server in the tests of the guard: a main process with a child, as vLLM has, in milliseconds.

    python stand_in.py <file for the child's pid> [stubborn]

`stubborn` ignores SIGTERM. The child says its pid once both are ready.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

CHILD = """
import os, pathlib, signal, sys, time
if sys.argv[2:] == ["stubborn"]: signal.signal(signal.SIGTERM, signal.SIG_IGN)
path = pathlib.Path(sys.argv[1])
path.with_suffix(".new").write_text(str(os.getpid()))
path.with_suffix(".new").rename(path)
time.sleep(60)
"""

if sys.argv[2:] == ["stubborn"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", CHILD, *sys.argv[1:]])
if sys.argv[2:] == ["dies"]:
    while not Path(sys.argv[1]).exists():
        time.sleep(0.01)
    sys.exit(7)
child.wait()
