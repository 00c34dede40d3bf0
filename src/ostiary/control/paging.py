"""A part of a list, and reading files without holding up sessions."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a list, in its order. A page may be short, even empty, and not be the last."""

    items: tuple[T, ...]
    #: What to give as `after` for the next one; None: this is the last.
    next: str | None


def page_of(items: list[tuple[str, T]], after: str, limit: int) -> Page[T]:
    """A page of what is all in memory: (position, item), ordered by unique positions."""
    rest = [pair for pair in items if pair[0] > after]
    shown = rest[:limit]
    return Page(tuple(item for _, item in shown), shown[-1][0] if len(rest) > limit else None)


class Reader:
    """Reads files in threads of its own, few of them: the loop serves sessions meanwhile."""

    def __init__(self, threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="control-reader")

    async def read(self, work: Callable[[], T]) -> T:
        """What the work returns or raises. Once begun it runs to its end, also when nobody waits any more."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Begin nothing more, and wait for what runs."""
        self._pool.shutdown(wait=True, cancel_futures=True)
