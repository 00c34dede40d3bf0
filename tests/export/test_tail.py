"""Reading on: everything once when nothing fails, nothing left out when something does."""

import json
import os
from pathlib import Path

import pytest

from ostiary.core import ActionRefused, SessionEnded
from ostiary.export import Statements
from ostiary.export import tail as tail_module
from ostiary.export.ocsf import Events
from ostiary.export.tail import Tail
from tests.export.kit import CHANGE, DENIED, House, short, told

SESSION = [
    ("Authentication", "Logon", "Success"),
    ("Datastore Activity", "Delete", "Failure"),
    ("Datastore Activity", "Query", "Other"),
    ("Datastore Activity", "Other", "Success"),
    ("Authentication", "Logoff", "Success"),
]


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty one."""
    return House(tmp_path)


def test_a_session_and_a_change_are_told_once(house: House) -> None:
    """In order, with the same ids whoever reads; afterwards nothing, after a restart neither."""
    house.session("s1")
    house.audit.write(CHANGE)
    tail = house.tail()
    events = told(tail)
    assert [short(event) for event in events] == [*SESSION, ("Entity Management", "Update", "Success")]
    assert len({event["metadata"]["uid"] for event in events}) == len(events)
    assert told(tail) == []
    assert told(house.tail()) == []
    assert told(house.tail("another")) == events


def test_statements_that_ran_when_all_are_wanted(house: House) -> None:
    """The read is there too."""
    house.session("s1")
    assert ("Datastore Activity", "Read", "Success") in map(short, told(house.tail(statements=Statements.ALL)))


def test_an_open_session_is_followed(house: House) -> None:
    """Also after a restart in its middle: who it is of is read again."""
    recorder = house.begin("s1", "ci:eve")
    tail = house.tail()
    assert [short(event) for event in told(tail)] == SESSION[:1]
    recorder.write(DENIED)
    again = house.tail()
    [event] = told(again)
    assert event["actor"]["user"]["name"] == "eve"
    recorder.write(SessionEnded("over", "kept", 0, 1))
    recorder.close("over")
    assert [short(each) for each in told(again)] == SESSION[-1:]
    assert again.backlog() == 0


def test_what_was_not_acknowledged_is_told_again(house: House) -> None:
    """A crash between delivery and acknowledgement: the same events with the same ids, none is left out."""
    for number in range(5):
        house.session(f"s{number}")
    everything = [event["metadata"]["uid"] for event in told(house.tail("reference"))]
    seen: list[str] = []
    for attempt in range(100):
        tail = house.tail()
        batch = tail.read(3)
        if not batch.events:
            break
        seen += [event["metadata"]["uid"] for event in map(json.loads, batch.events)]
        if attempt % 2:
            tail.acknowledge(batch)
    assert sorted(set(seen)) == sorted(everything)


def test_half_a_line_waits_for_its_other_half(house: House) -> None:
    """The writer is in the middle of it, or died there: then the file is done."""
    recorder = house.begin("s1")
    tail = house.tail()
    told(tail)
    [path] = house.directory.glob("*/*/*/*.rec")
    whole = path.stat().st_size
    recorder.write(DENIED)
    data = path.read_bytes()
    os.truncate(path, whole + 10)
    assert told(tail) == []
    path.write_bytes(data)
    assert [short(event) for event in told(tail)] == SESSION[1:2]
    os.close(recorder._chain.release())
    with path.open("ab") as file:
        file.write(b'{"v":1,"seq":9')
    assert told(tail) == []
    assert "s1" not in tail.path.read_text()


def test_lines_that_are_no_records_are_passed_over(house: House) -> None:
    """The rest of the file is told."""
    recorder = house.begin("s1")
    [path] = house.directory.glob("*/*/*/*.rec")
    with path.open("ab") as file:
        file.write(b"nonsense\n")
        file.write(b'{"v":1,"seq":3,"time":1.000000,"kind":"refused","body":{},"hash":"%b"}\n' % (b"0" * 64))
    recorder.write(DENIED)
    assert [short(event) for event in told(house.tail())] == SESSION[:2]


def test_files_that_are_removed_are_forgotten(house: House) -> None:
    """Somebody removed a day."""
    house.session("s1")
    house.session("s2")
    next(house.directory.glob("*/*/*/*s1.rec")).unlink()
    tail = house.tail()
    assert {event["metadata"]["uid"].partition(":")[0] for event in told(tail)} == {"s2"}
    assert tail.backlog() == 0


def test_many_files_wait_in_their_log(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more are held at once than may be, and all are told in the end."""
    monkeypatch.setattr(tail_module, "MAX_FILES", 3)
    for number in range(10):
        house.session(f"s{number}")
    tail = house.tail()
    assert len(told(tail)) == 10 * len(SESSION)


def test_dropping_passes_over_what_is_oldest(house: House) -> None:
    """Until the rest fits; what is newest is still told."""
    for number in range(10):
        house.clock += 1
        house.session(f"s{number}")
    tail = house.tail()
    before = tail.backlog()
    dropped = tail.drop(before // 2)
    assert 0 < tail.backlog() == before - dropped <= before // 2
    left = {event["metadata"]["uid"].partition(":")[0] for event in told(tail)}
    assert "s9" in left
    assert "s0" not in left


def test_files_outside_are_never_read(house: House) -> None:
    """Whatever a heads log says."""
    recorder = house.begin("s1")
    path = house.directory.parent / "secret"
    path.write_text("canary")
    logs = list((house.directory / "heads").glob("*.log"))
    data = logs[0].read_bytes()
    logs[0].write_bytes(data.replace(next(house.directory.glob("*/*/*/*.rec")).name.encode(), b"../../../../secret"))
    tail = house.tail()
    assert told(tail) == []
    recorder.close("x")


def test_from_now_on(house: House) -> None:
    """Nothing of what was there, nor of a session that is open; everything that begins later, after a restart too."""
    house.session("s1")
    recorder = house.begin("s2")
    path = house.home / "export" / "now.cursor"
    tail = Tail(house.directory, path, Events(Statements.NOTABLE), from_now=True)
    recorder.write(DENIED)
    assert (told(tail), tail.backlog()) == ([], 0)
    house.session("s3")
    again = Tail(house.directory, path, Events(Statements.NOTABLE), from_now=True)
    assert [short(event) for event in told(again)] == SESSION
    recorder.close("over")
    assert told(again) == []


def test_a_cursor_that_is_none_is_named(house: House) -> None:
    """Nothing is told twice in silence."""
    (house.home / "export" / "sink.cursor").write_text("nonsense")
    with pytest.raises(ValueError, match="is no cursor"):
        house.tail()


def test_long_statements_are_bounded(house: House) -> None:
    """A megabyte in a record is not one in an event."""
    recorder = house.begin("s1")
    recorder.write(ActionRefused(1, "x" * 1_000_000, "s", (), "policy", "m", ()))
    batch = house.tail().read(100)
    assert max(map(len, batch.events)) < 20_000
    recorder.close("x")
