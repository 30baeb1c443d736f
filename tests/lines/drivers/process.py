"""Starting a stand-in's server as a process of its own, on a free port, and ending it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]


@contextmanager
def served(module: str, *arguments: str) -> Iterator[str]:
    """The base URL of `python -m module`, which prints it as the last word of its first line."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    assert "http://" in said, said or (process.stderr and process.stderr.read())
    try:
        yield said.split()[-1]
    finally:
        process.kill()
        process.communicate(timeout=10)
