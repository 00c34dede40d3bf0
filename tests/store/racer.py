"""One process of a race: opens the store, says `ready`, decides a request at a line on stdin, prints the outcome."""

import asyncio
import sys

from ostiary.approvals import ApprovalDesk, ApprovalError
from ostiary.store import Store
from tests.approvals.fakes import GROUPS, NOW, human


async def race(url: str, code: str, name: str, answer: str) -> None:
    """Decide once, as fast as possible after the signal."""
    store = await Store.open(url)
    desk = ApprovalDesk(store.approvals, GROUPS, lambda: NOW)
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        after = await desk.decide(code, human(name, "dba"), answer == "yes")
        print(after.state, flush=True)
    except ApprovalError as error:
        print(type(error).__name__, flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(race(*sys.argv[1:]))
