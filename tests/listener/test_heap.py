"""Associations that come and go leave nothing behind in arenas of their threads."""

from __future__ import annotations

import subprocess
import sys

_THREADS_THAT_LET_GO = """
import sys, threading
from pathlib import Path
from listener.heap import share_heap

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

if sys.argv[1] == "shared":
    assert share_heap()
turn, there, before = threading.Lock(), threading.Barrier(8), held()

def work():
    there.wait()
    with turn:
        pieces = [bytearray(4000) for _ in range(1000)]
        kept = bytearray(4000)  # lies above them
        del pieces
    there.wait()
    del kept

threads = [threading.Thread(target=work) for _ in range(8)]
for one in threads:
    one.start()
for one in threads:
    one.join()
print(held() - before)
"""


def grown_kib(how: str) -> int:
    program = [sys.executable, "-c", _THREADS_THAT_LET_GO, how]
    return int(subprocess.run(program, capture_output=True, check=True, text=True).stdout)


def test_what_threads_let_go_is_held_once_and_not_for_each_of_them() -> None:
    assert grown_kib("shared") < grown_kib("apart") / 2
