"""An API for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.api.kit import Api, serving


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """On a gateway of its own."""
    async with serving(tmp_path / "gateway") as found:
        yield found
