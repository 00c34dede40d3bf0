"""Sessions as they are read for long: whoever reads is asked about again and again."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from ostiary.control.access import Access, Caller, Denied
from ostiary.control.paging import Reader
from ostiary.control.streams import SessionStreams
from ostiary.core import IntentRecorded, Refusal, RefusalKind, SessionEnded, SessionStarted
from ostiary.gate.ports import Refused
from ostiary.recording import FileRecorder, FileRecording, Moment, Signer


@dataclass
class Hall:
    """A recording that is written, a clock that moves when somebody waits."""

    recorder: FileRecorder
    directory: Path
    reader: Reader
    now: float = 0.0
    #: What happens while somebody waits, one a wait.
    meanwhile: list[Any] = field(default_factory=list)
    denied: bool = False

    def require(self, caller: Caller, action: str, target: str) -> None:
        """As Access."""
        del caller
        assert (action, target) == ("audit", "orders")
        if self.denied:
            raise Denied(Refusal(RefusalKind.POLICY, "denied: why"))

    async def pause(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        if self.meanwhile:
            self.meanwhile.pop(0)()

    @property
    def streams(self) -> SessionStreams:
        """The use-cases."""
        return SessionStreams(cast("Access", self), self.directory, self.reader, lambda: self.now, self.pause)


@pytest.fixture
def hall(tmp_path: Path) -> Any:
    """A session that runs."""
    recording = FileRecording(tmp_path / "r", Signer.load(tmp_path / "key"), fsync="never")
    recorder = recording.open("s1")
    recorder.write(SessionStarted("s1", "ci:a", "workload", "ci", "a", (), {}, "j", "orders", "postgres", "h:1", ()))
    reader = Reader()
    yield Hall(recorder, tmp_path / "r", reader)
    reader.close()
    recorder.close("")
    recording.close()


async def _again() -> Caller:
    return cast("Caller", None)


async def _all(lines: AsyncIterator[Any]) -> list[Any]:
    return [line async for line in lines]


def _text(lines: list[Any]) -> list[Any]:
    return [line[1].text if isinstance(line, tuple) else line for line in lines]


async def test_until_the_session_ends(hall: Hall) -> None:
    """What was there, what comes, a sign of life where nothing does."""
    hall.meanwhile = [lambda: None] * 25 + [
        lambda: hall.recorder.write(IntentRecorded(1, "SELECT 1", "", (), (), "allow", ())),
        lambda: hall.recorder.write(SessionEnded("bye", "", 1, 0)),
        lambda: hall.recorder.close("bye"),
    ]
    found = await _all(await hall.streams.tail(cast("Caller", None), "s1", 10, None, _again))
    assert _text(found) == ["ci:a on orders (postgres)", None, "SELECT 1", "bye"]
    assert [line[0] for line in found if line] == [1, 2, 3]
    assert all(isinstance(line[1], Moment) for line in found if line)


@pytest.mark.parametrize(("last", "after", "lines"), [(0, None, []), (1, None, [4]), (2, None, [3, 4]), (9, 2, [3, 4])])
async def test_where_it_begins(hall: Hall, last: int, after: int | None, lines: list[int]) -> None:
    """With the last ones, or behind a line."""
    for number in (1, 2, 3):
        hall.recorder.write(IntentRecorded(number, "SELECT 1", "", (), (), "allow", ()))
    hall.recorder.close("")
    found = await _all(await hall.streams.tail(cast("Caller", None), "s1", last, after, _again))
    assert [line[0] for line in found] == [line + 0 for line in lines]


@pytest.mark.parametrize("how", ["policy", "token", "slow"])
async def test_a_right_that_ends(hall: Hall, how: str) -> None:
    """Within five seconds, by the policy as by the token; nothing more is told."""

    async def again() -> Caller:
        if how == "token":
            raise Refused(Refusal(RefusalKind.IDENTITY, "token refused: it ended"))
        if how == "slow":
            raise TimeoutError
        hall.denied = True
        return cast("Caller", None)

    async with asyncio.timeout(10):
        found = await _all(await hall.streams.tail(cast("Caller", None), "s1", 0, None, again))
    said = {"policy": "denied: why", "token": "token refused: it ended", "slow": "your token could not be verified"}
    assert len(found) == 1
    assert found[0].startswith(said[how])
    assert hall.now <= 6


async def test_not_without_the_right(hall: Hall) -> None:
    """Denied before anything is read."""
    hall.denied = True
    with pytest.raises(Denied):
        await hall.streams.tail(cast("Caller", None), "s1", 1, None, _again)
    with pytest.raises(Denied):
        await hall.streams.export(cast("Caller", None), "s1")


async def test_export_is_whole_lines(hall: Hall) -> None:
    """Of one that is written: not half a line."""
    for number in range(9):
        hall.recorder.write(IntentRecorded(number, "x" * 60_000, "", (), (), "allow", ()))
    (path,) = hall.directory.rglob("*.rec")
    name, chunks = await hall.streams.export(cast("Caller", None), "s1")
    assert name == path.name
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"v":1,"half')
    got = [chunk async for chunk in chunks]
    assert b"".join(got) == whole
    assert len(got) > 1
    assert all(chunk.endswith(b"\n") for chunk in got)
