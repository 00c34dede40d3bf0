"""A gateway for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.signin.people_kit import Gateway, signing_in


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """Nobody is set up."""
    async with signing_in(tmp_path) as found:
        yield found
