"""Spans: what was recorded as a trace, joined to the caller's, sent to a collector over HTTP."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ostiary.core import ActionFinished, ActionRefused, IntentRecorded, LeaseIssued, SessionEnded
from ostiary.export import OnFull, OtlpSettings, Statements
from ostiary.export import exporter as exporter_module
from ostiary.export.config import Common
from ostiary.export.exporter import Exporter
from ostiary.export.otlp import OtlpSink
from ostiary.export.spans import MAX_OPEN, Span, Spans
from ostiary.recording import FileRecorder
from ostiary.telemetry import Meter
from tests.export.kit import APPROVED, DENIED, HELD, READ, House, started, told

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"
UNSAMPLED = f"{CALLER[:-1]}0"


async def test_the_first_start_tells_of_what_begins_from_then_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector is not given every session there ever was; a second start goes on from the cursor."""
    got: list[bytes] = []

    class Kept:
        async def deliver(self, batch: Sequence[bytes]) -> None:
            got.extend(batch)

        async def close(self) -> None:
            pass

    monkeypatch.setattr(exporter_module, "sink_of", lambda _: Kept())
    settings = OtlpSettings(Common("spans", Statements.ALL, 1 << 30, OnFull.DROP), "https://o.example", 1.0, None)
    end(begin(house, session_id="old"))
    for session_id in ("s1", "s2"):
        made = Exporter([settings], house.directory, house.home / "export", Meter())
        end(begin(house, session_id=session_id))
        await made.close()
    assert [json.loads(each)["name"] for each in got].count("session orders") == len(got) == 2


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty one."""
    return House(tmp_path)


def begin(house: House, trace: str = "", session_id: str = "s1") -> FileRecorder:
    """A session that is open."""
    recorder = house.recording.open(session_id)
    recorder.write(replace(started(session_id), trace=trace), LeaseIssued("l1", "static", "app"))
    return recorder


def act(house: House, recorder: FileRecorder) -> None:
    """A read of 2 s, a denial, and a definition that waits 60 s for its approval and runs 3 s."""
    recorder.write(READ)
    house.clock += 2
    recorder.write(ActionFinished(1, "ok", "SELECT 1", 1, 9), DENIED, HELD)
    house.clock += 60
    recorder.write(APPROVED)
    house.clock += 3
    recorder.write(ActionFinished(3, "error", "42P01", 0, 0))


def end(recorder: FileRecorder) -> None:
    """The session is over."""
    recorder.write(SessionEnded("the client went away", "kept", 2, 1))
    recorder.close("over")


def spans(house: House, name: str = "spans", sample: float = 1.0) -> list[Span]:
    """Those that are new."""
    return msgspec.convert(told(house.tail(name, teller=Spans(sample))), list[Span])


def test_a_session_is_a_trace(house: House) -> None:
    """Its statements are below it, with their times, rulings, waits and errors."""
    recorder = begin(house)
    act(house, recorder)
    end(recorder)
    read, denied, defined, session = spans(house)
    assert session.parent == ""
    assert {(span.trace, span.parent) for span in (read, denied, defined)} == {(session.trace, session.span)}
    assert len({span.span for span in (read, denied, defined, session)}) == 4
    assert read.end - read.start == 2_000_000_000
    assert (read.name, read.error) == ("read orders", "")
    assert read.attributes["db.response.returned_rows"] == 1
    assert (denied.error, denied.attributes["error.type"]) == ("refused: policy", "refused.policy")
    assert defined.end - defined.start == 63_000_000_000
    assert defined.attributes["ostiary.approval_wait_ms"] == 60_000
    assert defined.attributes["ostiary.upstream_ms"] == 3_000
    assert (defined.error, defined.attributes["db.response.status_code"]) == ("error", "42P01")
    assert session.end - session.start == 65_000_000_000
    assert session.attributes["ostiary.session.statements"] == 2


def test_no_statement_is_in_a_span(house: House) -> None:
    """Nor a value."""
    recorder = begin(house)
    recorder.write(replace(READ, text="SELECT 'canary'", parameters=("canary",)), ActionFinished(1, "ok", "S", 1, 1))
    recorder.write(ActionRefused(2, "SELECT 'canary'", "s", (), "policy", "canary", ()))
    end(recorder)
    assert "canary" not in json.dumps([span.attributes for span in spans(house)])


def test_the_caller_s_trace_is_joined(house: House) -> None:
    """By `application_name` the session and all in it, by a comment one statement, with a link to the session."""
    recorder = begin(house, CALLER)
    text = f"SELECT 1 /*traceparent='{OTHER}'*/"
    recorder.write(READ, ActionFinished(1, "ok", "S", 1, 1))
    recorder.write(replace(READ, action_id=2, text=text), ActionFinished(2, "ok", "S", 1, 1))
    end(recorder)
    plain, commented, session = spans(house)
    assert (session.trace, session.parent) == (CALLER[3:35], CALLER[36:52])
    assert (plain.trace, plain.parent) == (session.trace, session.span)
    assert (commented.trace, commented.parent) == (OTHER[3:35], OTHER[36:52])
    assert commented.link == (session.trace, session.span)


def test_sampling(house: House) -> None:
    """A caller decides on its own trace; of the others the same part in all of their spans."""
    for number in range(200):
        recorder = begin(house, session_id=f"s{number}")
        recorder.write(READ, ActionFinished(1, "ok", "S", 1, 1))
        end(recorder)
    for session_id, trace in (("yes", CALLER), ("no", UNSAMPLED)):
        end(begin(house, trace, session_id))
    found = spans(house, sample=0.3)
    sessions = {span.trace for span in found if span.name.startswith("session")}
    assert {span.trace for span in found} == sessions
    assert 30 < len(sessions) < 90
    assert [span.attributes["ostiary.session"] for span in found if span.trace == CALLER[3:35]] == ["yes"]
    assert [span.trace for span in spans(house, "none", 0.0)] == [CALLER[3:35]]


def test_a_trace_that_is_none_is_no_session_s(house: House) -> None:
    """A record that says what no client could have sent."""
    end(begin(house, "x" * 55))
    assert spans(house) == []


def test_after_a_restart_in_the_middle(house: House) -> None:
    """What had begun before is remembered: the file is read again; what was told is not told twice."""
    recorder = begin(house)
    recorder.write(HELD)
    assert spans(house) == []
    house.clock += 5
    recorder.write(APPROVED)
    assert spans(house) == []
    recorder.write(ActionFinished(3, "ok", "DROP", 0, 0))
    [defined] = spans(house)
    assert defined.attributes["ostiary.approval_wait_ms"] == 5_000
    end(recorder)
    assert [span.name for span in spans(house)] == ["session orders"]


def test_statements_without_an_end_are_bounded(house: House) -> None:
    """The oldest are forgotten."""
    recorder = begin(house)
    teller = Spans(1.0)
    tail = house.tail(teller=teller)
    for number in range(MAX_OPEN + 50):
        recorder.later(IntentRecorded(number, "s", "s", (), (), "allow", ()))
    recorder.flush()
    told(tail)
    assert [len(running) for running in teller._open.values()] == [MAX_OPEN]
    end(recorder)
    told(tail)
    assert not teller._open


class Collector:
    """An OTLP collector over HTTP that answers as it is told."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[ExportTraceServiceRequest] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            self.got.append(ExportTraceServiceRequest.FromString(await reader.readexactly(length)))
            status = self.statuses.pop(0) if self.statuses else 200
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
        writer.close()


async def test_collector(house: House) -> None:
    """What arrives is what was recorded; a collector that says no is an error, and nobody's loss."""
    recorder = begin(house, CALLER)
    recorder.write(READ, ActionFinished(1, "ok", "S", 1, 1), DENIED)
    end(recorder)
    batch = house.tail(teller=Spans(1.0)).read(100).events
    collector = Collector(200, 400)
    server = await asyncio.start_server(collector.serve, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/traces"
    sink = OtlpSink(OtlpSettings(Common("traces", Statements.ALL, 1 << 30, OnFull.DROP), endpoint, 1.0, None))
    await sink.deliver(batch)
    with pytest.raises(OSError, match="did not take"):
        await sink.deliver(batch)
    await sink.close()
    server.close()
    [resource] = collector.got[0].resource_spans
    assert {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"] == "ostiary"
    read, denied, session = resource.scope_spans[0].spans
    assert session.trace_id.hex() == CALLER[3:35]
    assert session.parent_span_id.hex() == CALLER[36:52]
    assert read.parent_span_id == session.span_id
    assert {each.key: each.value.string_value for each in read.attributes}["db.operation.name"] == "read"
    assert (denied.status.code, denied.status.message) == (2, "refused: policy")
