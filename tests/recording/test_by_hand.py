"""The documentation's own verifier, which knows nothing of this program, agrees with it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ostiary.recording import FileRecording
from tests.recording.kit import path_of, record

PAGE = Path(__file__).parents[2] / "docs" / "recording.md"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The script of the page."""
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "verify.py"
    path.write_text(script)
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data, ""),
        (lambda data: data.replace(b"DROP TABLE t", b"SELECT now()"), "line 6 was changed"),
        (lambda data: data[: data.rindex(b'{"v"')], "no seal"),
        (lambda data: data + b"x", "line 12 is not a record"),
        (lambda data: data[:-131] + data[-131:].translate(bytes.maketrans(b"01", b"10")), "line 11 is not signed"),
    ],
)  # fmt: skip
def test_page_verifies_a_recording(
    directory: Path, recording: FileRecording, program: Path, change: object, says: str
) -> None:
    """A sealed recording passes; a changed, cut, longer or badly signed one does not."""
    record(recording)
    path = path_of(directory)
    assert callable(change)
    path.write_bytes(change(path.read_bytes()))
    run = subprocess.run(
        [sys.executable, program, path, directory / "recording.pub"],
        capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert (run.returncode == 0) is (not says)
    assert says in run.stderr
