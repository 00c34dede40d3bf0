from pathlib import Path

import pytest

from ostiary.policy import CedarPolicy
from tests.policy.kit import Clock, Write, put


@pytest.fixture
def clock() -> Clock:
    """Monday noon."""
    return Clock()


@pytest.fixture
def under(tmp_path: Path, clock: Clock) -> Write:
    """Policies from texts, one file each."""

    def write(*texts: str) -> CedarPolicy:
        put(tmp_path, *texts)
        return CedarPolicy(tmp_path, clock)

    return write
