"""Workers that ask each other."""

import asyncio
from pathlib import Path

import pytest

from ostiary.protocols.postgres.keys import process_id, worker_of
from ostiary.runtime import neighbours
from ostiary.runtime.interrupts import Interrupts
from ostiary.runtime.neighbours import Neighbours

KEY = b"\0\0\0\1secret"


class Counting(Interrupts):
    """Knows one key."""

    def __init__(self, known: bytes = b"") -> None:
        super().__init__()
        self.known = known
        self.asked: list[bytes] = []

    def interrupt(self, key: bytes) -> bool:
        self.asked.append(key)
        return key == self.known


async def test_asked(tmp_path: Path) -> None:
    """The one that gave the key out knows it; others are not asked, nor does anybody ask on."""
    first, second, third = Counting(), Counting(KEY), Counting(KEY)
    workers = [Neighbours(tmp_path, number, each) for number, each in enumerate((first, second, third), 1)]
    for each in workers:
        await each.start()
    assert first.elsewhere is not None
    assert await first.elsewhere(2, KEY)
    assert not await first.elsewhere(2, b"\0\0\0\1guess!")
    assert second.asked == [KEY, b"\0\0\0\1guess!"]
    assert not await first.elsewhere(1, KEY)
    assert not await first.elsewhere(64, KEY)
    assert (first.asked, third.asked) == ([], [])
    for each in workers:
        await each.close()
    assert vars(first)["elsewhere"] is None
    assert not await workers[0].ask(2, KEY)


async def test_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that hangs costs whoever asks a bounded time."""
    monkeypatch.setattr(neighbours, "SECONDS", 0.05)
    hangs = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hangs.wait()
        writer.close()

    server = await asyncio.start_unix_server(silent, tmp_path / "2")
    one = Neighbours(tmp_path, 1, Interrupts())
    assert not await one.ask(2, KEY)
    hangs.set()
    server.close()
    await server.wait_closed()


async def test_too_long(tmp_path: Path) -> None:
    """No key: no more of it is read."""
    one, other = Neighbours(tmp_path, 1, Interrupts()), Counting(b"k" * 300)
    long = Neighbours(tmp_path, 3, other)
    await long.start()
    assert not await one.ask(3, b"k" * 300)
    await long.close()
    assert [len(key) for key in other.asked] == [261]


@pytest.mark.parametrize("worker", [1, 2, 33, 64])
@pytest.mark.parametrize("entropy", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x12\x34\x56\x78"])
def test_a_key_says_whose_it_is(worker: int, entropy: bytes) -> None:
    """Its process id is a positive signed number, which is not zero."""
    key = process_id(entropy, worker)
    assert worker_of(key + b"secret") == worker
    assert 0 < int.from_bytes(key, "big") < 2**31
    assert 0 < int.from_bytes(process_id(entropy, 0), "big") < 2**31


def test_a_key_of_nobody_s() -> None:
    """Sixty-four workers at most."""
    assert worker_of(b"\x80\0\0\0secret") == 0
