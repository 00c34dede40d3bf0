"""A service and a desk on two stores over one SQLite file, as gateway and CLI have them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ostiary.approvals import ApprovalDesk, ApprovalService
from ostiary.store import Store
from tests.approvals.fakes import GROUPS, Clock


@dataclass
class House:
    """Everything a test of approvals touches."""

    clock: Clock
    store: Store
    service: ApprovalService
    desk: ApprovalDesk
    url: str


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A started service; the desk is another process's, and does not wake it."""
    url = f"sqlite://{tmp_path}/state.db"
    clock = Clock()
    store, other = await Store.open(url), await Store.open(url)
    service = ApprovalService(store.approvals, GROUPS, clock, "https://gw.example.com/", "node-1", poll_seconds=0.01)
    await service.start()
    yield House(clock, store, service, ApprovalDesk(other.approvals, GROUPS, clock), url)
    await service.stop()
    await other.close()
    await store.close()
