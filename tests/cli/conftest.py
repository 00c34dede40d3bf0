"""A desk for each test; tables are as wide as in a pipe."""

from pathlib import Path

import pytest

from ostiary.cli import output
from tests.cli.kit import Desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A configuration in a directory of its own."""
    for console in (output.out, output.err):
        monkeypatch.setattr(console, "width", 1000)
    return Desk(tmp_path / "gateway")
