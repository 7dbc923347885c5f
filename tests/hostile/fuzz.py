"""Feeds every reader nonsense for as long as is asked: `make fuzz SECONDS=600 [READER=header]`.

atheris (libFuzzer) follows the code's branches where it is installed, hypothesis guesses where it
is not. What has led to new branches is kept in a folder from run to run, and what was a finding is
left there, too.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "listener"), str(HERE.parents[1])]

try:
    import atheris
except ImportError:
    atheris = None


def main() -> int:
    """Share the time among the readers; 1 where there was a finding."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--reader", help="this one only, in this process")
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"))
    given = parser.parse_args()
    if given.reader:
        return feed(given.reader, given.seconds, given.folder)
    from readers import READERS

    share = max(1, given.seconds // len(READERS))
    findings = []
    for name in READERS:
        print(f"== {name}, {share} s, {'atheris' if atheris else 'hypothesis'}", flush=True)  # noqa: T201 - progress
        own = [sys.executable, str(HERE / "fuzz.py"), "--reader", name, "--seconds", str(share)]
        if subprocess.run([*own, "--folder", str(given.folder)], check=False).returncode:
            findings.append(name)
    print(f"findings: {', '.join(findings) or 'none'}; see {given.folder}")  # noqa: T201 - the result
    return 1 if findings else 0


def feed(name: str, seconds: int, folder: Path) -> int:
    """Feed one reader; 1 where it did what it must not."""
    logging.getLogger("wristmir").setLevel(logging.CRITICAL)
    corpus = folder / name
    corpus.mkdir(parents=True, exist_ok=True)
    if atheris is None:
        return feed_by_guessing(name, seconds, corpus)
    with atheris.instrument_imports(include=["listener", "pipeline", "pydicom", "pynetdicom"]):
        from readers import READERS, SECONDS
    reader = READERS[name]
    for number, seed in enumerate(reader.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    def read(data: bytes) -> None:
        with suppress(*reader.refusals):
            reader.read(data)

    most = max(4096, 2 * max(map(len, reader.seeds)))
    options = [f"-max_total_time={seconds}", f"-timeout={2 * int(SECONDS)}", f"-max_len={most}"]
    options += ["-rss_limit_mb=700", f"-artifact_prefix={folder}/{name}-", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, "-verbosity=0", str(corpus)], read)
    atheris.Fuzz()  # ends the process
    return 0


def feed_by_guessing(name: str, seconds: int, corpus: Path) -> int:
    """Feed one reader what hypothesis thinks of; a finding is printed by it, made as small."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st
    from hypothesis.database import DirectoryBasedExampleDatabase
    from readers import READERS
    from test_readers import damaged, reads

    reader = READERS[name]
    seeds = st.sampled_from(reader.seeds)
    damage = st.builds(damaged, seeds, st.integers(0, 2**32), st.integers(1, 20))
    database = DirectoryBasedExampleDatabase(str(corpus / "hypothesis"))
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]

    @settings(max_examples=2000, deadline=None, database=database, suppress_health_check=checks)
    @given(data=st.binary(max_size=4000) | damage)
    def check(data: bytes) -> None:
        reads(reader, data)

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        check()
    return 0


if __name__ == "__main__":
    sys.exit(main())
