"""What `bin/run` says when the machine lacks something: one sentence, and nothing half made."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.installation import CHECKOUT

NEVER_RUNS = "#!/bin/sh\nexit 127\n"
WITHOUT_VENV = f"""#!/bin/sh
case "$2" in *ensurepip*) exit 1 ;; esac
exec {sys.executable} "$@"
"""
# What else the scripts call.
TOOLS = ["sh", "dirname", "df", "awk", "id", "rm", "cat", "cksum"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh clone's commands, without a .venv."""
    folder = tmp_path / "checkout"
    shutil.copytree(CHECKOUT / "bin", folder / "bin")
    shutil.copytree(CHECKOUT / "requirements", folder / "requirements")
    return folder


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A PATH of its own, without any Python."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool) or tool)
    return folder


def add_program(programs: Path, name: str, text: str) -> None:
    (programs / name).write_text(text)
    (programs / name).chmod(0o755)


def run(checkout: Path, programs: Path) -> tuple[int, str, bool]:
    done = subprocess.run([checkout / "bin" / "run"], env={"PATH": str(programs)}, capture_output=True, text=True)
    return done.returncode, done.stderr.strip(), (checkout / ".venv").exists()


def test_no_python(checkout: Path, programs: Path) -> None:
    add_program(programs, "python3.11", NEVER_RUNS)
    assert run(checkout, programs) == (
        1,
        "Cordboard needs Python 3.11 or newer, and none was found; install it, or name it in CORDBOARD_PYTHON.",
        False,
    )


def test_no_venv_module(checkout: Path, programs: Path) -> None:
    add_program(programs, "python3", WITHOUT_VENV)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert run(checkout, programs) == (
        1,
        f"python3 has no venv module; install it (Debian, Ubuntu: apt-get install python{version}-venv).",
        False,
    )


def test_no_space(checkout: Path, programs: Path) -> None:
    (programs / "df").unlink()
    add_program(programs, "df", "#!/bin/sh\necho Filesystem\necho /dev/full 100 100 20480 100% /\n")
    assert run(checkout, programs) == (
        1,
        f"There is no space left on the disk of {checkout}: 20 MB are free, 600 are needed.",
        False,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to run as somebody else")
def test_somebody_elses_checkout(checkout: Path) -> None:
    with tempfile.TemporaryDirectory() as reachable:
        Path(reachable).chmod(0o755)
        shutil.copytree(checkout, Path(reachable, "checkout"))
        command = [Path(reachable, "checkout", "bin", "run")]
        done = subprocess.run(command, capture_output=True, text=True, user="nobody", extra_groups=[], cwd="/")
    assert done.stderr.strip() == (
        f"{reachable}/checkout cannot be written by nobody: make a clone of your own, or start as its owner."
    )
