"""Sinks over real sockets on loopback, and what the exporter does when they fail, are slow, or are full."""

import asyncio
import contextlib
import errno
import hashlib
import hmac
import json
import os
import re
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ostiary.credentials import EnvSource
from ostiary.export import FileSettings, OnFull, Statements, SyslogSettings, WebhookSettings
from ostiary.export import exporter as exporter_module
from ostiary.export.config import Common
from ostiary.export.exporter import Exporter, StopsWhenFull, flag_of
from ostiary.export.sinks import FileSink, Rejected, SinkFailed, WebhookSink
from ostiary.export.syslog import SyslogSink
from ostiary.gate.ports import Refused
from ostiary.runtime.local_tls import server_context
from ostiary.telemetry import Meter, families
from tests.export.kit import House, told

COMMON = Common("sink", Statements.NOTABLE, 1 << 30, OnFull.DROP)
KEY = "webhook-key-canary"


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty one."""
    return House(tmp_path)


def events(house: House) -> tuple[bytes, ...]:
    """Of one session."""
    house.session("s1")
    return house.tail("reference").read(100).events


# ---------------------------------------------------------------- file


async def test_file(house: House) -> None:
    """A line an event, for nobody else's eyes; rotated by size, and only so many are kept."""
    settings = house.file_sink(max_bytes=4000, keep=2, fsync=True)
    sink = FileSink(settings)
    batch = events(house)
    for _ in range(6):
        await sink.deliver(batch)
    files = sorted(house.home.glob("events.jsonl*"))
    assert [path.name for path in files] == ["events.jsonl", "events.jsonl.1", "events.jsonl.2"]
    for path in files:
        assert path.stat().st_mode & 0o777 == 0o600
        assert [line.encode() for line in path.read_text().splitlines()] == list(batch)


async def test_file_without_room(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full in the middle of a line: it is taken back, and the batch is written whole later."""
    sink = FileSink(house.file_sink())
    batch = events(house)
    write, left = os.write, [100]

    def little(fd: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        some = data[: left[0]]
        left[0] -= len(some)
        return write(fd, some)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", little)
        with pytest.raises(OSError, match="No space"):
            await sink.deliver(batch)
    await sink.deliver(batch)
    assert len((house.home / "events.jsonl").read_bytes().splitlines()) == len(batch)


async def test_file_follows_no_link(house: House) -> None:
    """Who may write beside it can't have another file written to."""
    (house.home / "events.jsonl").symlink_to(house.home / "other")
    with pytest.raises(OSError, match="symbolic"):
        await FileSink(house.file_sink()).deliver(events(house))


# ---------------------------------------------------------------- webhook


@dataclass
class Receiver:
    """An HTTPS endpoint that answers as it is told."""

    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])
            }
            body = await reader.readexactly(int(headers["content-length"]))
            self.got.append((headers, body))
            status, more = self.answers.pop(0) if self.answers else (200, {})
            extra = "".join(f"{name}: {value}\r\n" for name, value in more.items())
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n{extra}\r\n".encode())
            await writer.drain()
        writer.close()


@asynccontextmanager
async def tls_server(home: Path, serve: Any) -> AsyncIterator[int]:
    """Its port; its certificate is `gateway.crt`."""
    context = server_context(None, None, home, "http/1.1")
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def receiving(house: House, *answers: tuple[int, dict[str, str]]) -> AsyncIterator[tuple[Receiver, Any]]:
    """A receiver, and settings that point at it."""
    receiver = Receiver(list(answers))
    async with tls_server(house.home, receiver.serve) as port:
        url = f"https://127.0.0.1:{port}/hook"
        yield receiver, WebhookSettings(COMMON, url, EnvSource("HOOK_KEY"), house.home / "gateway.crt")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_KEY", KEY)


async def test_webhook_is_signed(house: House) -> None:
    """Over the time and the body, with a key that is nowhere in what is sent."""
    batch = events(house)
    async with receiving(house) as (receiver, settings):
        await WebhookSink(settings, lambda: 1_767_225_600.9).deliver(batch)
    [(headers, body)] = receiver.got
    assert json.loads(body) == [json.loads(event) for event in batch]
    assert headers["x-ostiary-timestamp"] == "1767225600"
    wanted = hmac.new(KEY.encode(), b"1767225600." + body, hashlib.sha256).hexdigest()
    assert headers["x-ostiary-signature"] == f"v1={wanted}"
    assert KEY not in f"{headers}{body!r}"


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"Retry-After": "7"}, 7.0),
        (503, {"Retry-After": "Thu, 01 Jan 2026 00:00:30 GMT"}, 30.0),
        (503, {"Retry-After": "99999999999999"}, 3600.0),
        (503, {"Retry-After": "soon"}, 0.0),
        (500, {}, 0.0),
        (401, {}, 0.0),
        (302, {"Location": "https://127.0.0.1:1/"}, 0.0),
    ],
)
async def test_webhook_is_tried_again(house: House, status: int, headers: dict[str, str], wait: float) -> None:
    """When the receiver is busy, broken or set up wrongly; and not before it says. Redirects are not followed."""
    async with receiving(house, (status, headers)) as (receiver, settings):
        with pytest.raises(SinkFailed) as failed:
            await WebhookSink(settings, lambda: 1_767_225_600.0).deliver(events(house))
    assert failed.value.retry_after == wait
    assert len(receiver.got) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_webhook_says_no(house: House, status: int) -> None:
    """To exactly these events."""
    async with receiving(house, (status, {})) as (_, settings):
        with pytest.raises(Rejected):
            await WebhookSink(settings, lambda: 0.0).deliver(events(house))


async def test_webhook_with_another_certificate(house: House, tmp_path: Path) -> None:
    """Nothing is sent to who can't show who it is."""
    async with receiving(house) as (receiver, settings):
        other = tmp_path / "other"
        other.mkdir()
        server_context(None, None, other, "http/1.1")
        wrong = WebhookSettings(COMMON, settings.url, settings.secret, other / "gateway.crt")
        with pytest.raises(SinkFailed):
            await WebhookSink(wrong, lambda: 0.0).deliver(events(house))
    assert receiver.got == []


# ---------------------------------------------------------------- syslog


@dataclass
class Collector:
    """A syslog collector over TLS."""

    raw: bytearray = field(default_factory=bytearray)
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self.raw += data
                if len(self.messages()) >= self.wanted:
                    self.enough.set()
        writer.close()

    def messages(self) -> list[bytes]:
        """By their counts (RFC 5425, 4.3)."""
        found, at = [], 0
        while match := re.compile(rb"([1-9]\d*) ").match(self.raw, at):
            end = match.end() + int(match[1])
            if end > len(self.raw):
                break
            found.append(bytes(self.raw[match.end() : end]))
            at = end
        return found


#: RFC 5424, 6: HEADER SP STRUCTURED-DATA SP BOM MSG.
MESSAGE = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) ([!-~]{1,255}) ostiary (\d+) ocsf "
    rb'\[event@32473 uid="([^"]+)" class="(\d+)" type="(\d+)"\] \xef\xbb\xbf(\{.*\})',
    re.DOTALL,
)


async def test_syslog(house: House) -> None:
    """Each event a message with its priority, time and data, counted, over TLS."""
    batch = events(house)
    collector = Collector(wanted=2 * len(batch))
    async with tls_server(house.home, collector.serve) as port:
        sink = SyslogSink(SyslogSettings(COMMON, "127.0.0.1", port, house.home / "gateway.crt", None, None))
        await sink.deliver(batch)
        await sink.deliver(batch)
        async with asyncio.timeout(10):
            await collector.enough.wait()
        await sink.close()
    messages = collector.messages()
    assert len(messages) == 2 * len(batch)
    for message, event in zip(messages, batch * 2, strict=True):
        match = MESSAGE.fullmatch(message)
        assert match
        assert match[8] == event
        wanted = json.loads(event)
        assert int(match[1]) == 13 * 8 + {1: 6, 2: 5, 3: 4}[wanted["severity_id"]]
        assert match[5].decode() == wanted["metadata"]["uid"]
        assert match[2] == b"2026-01-01T00:00:00.250Z"


async def test_syslog_escapes_what_ends_a_parameter(house: House) -> None:
    """Quotes, backslashes and brackets of a name (RFC 5424, 6.3.3)."""
    event = json.loads(events(house)[0])
    event["metadata"]["uid"] = 'a"]\\b'
    sink = SyslogSink(SyslogSettings(COMMON, "127.0.0.1", 1, None, None, None))
    assert b'uid="a\\"\\]\\\\b" ' in sink.message(json.dumps(event).encode())


async def test_syslog_with_another_certificate(house: House) -> None:
    """Nothing is sent, and the next attempt begins anew."""
    collector = Collector()
    async with tls_server(house.home, collector.serve) as port:
        sink = SyslogSink(SyslogSettings(COMMON, "127.0.0.1", port, None, None, None))
        batch = events(house)
        for _ in range(2):
            with pytest.raises(ssl.SSLError):
                await sink.deliver(batch)
    assert not collector.raw


# ---------------------------------------------------------------- exporter


class Broken:
    """A sink that does as its script says: an error to raise, or None."""

    def __init__(self, script: Sequence[Exception | None], poison: bytes = b"\0") -> None:
        self.script = list(script)
        self.poison = poison
        self.got: list[bytes] = []

    async def deliver(self, batch: Sequence[bytes]) -> None:
        """Take it, or not."""
        step = self.script.pop(0) if self.script else None
        if step is not None:
            raise step
        if any(self.poison in event for event in batch):
            raise Rejected("status 422")
        self.got += batch

    async def close(self) -> None:
        """Nothing."""


class Enough(Exception):  # noqa: N818 - ends a run that has no end
    """The script is over."""


def exporter(
    house: House, sink: Broken, monkeypatch: pytest.MonkeyPatch, settings: FileSettings, rests: int
) -> tuple[Exporter, Meter, list[float]]:
    """One that rests so often, in no time."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) >= rests:
            raise Enough

    monkeypatch.setattr(exporter_module, "sink_of", lambda _: sink)
    meter = Meter()
    return Exporter([settings], house.directory, house.home / "export", meter, pause), meter, pauses


async def run(made: Exporter) -> None:
    """Until the script is over."""
    with pytest.raises(ExceptionGroup) as ended:
        await made.run()
    assert ended.group_contains(Enough)


async def test_exporter_tries_again_until_it_is_delivered(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised; each event once, with longer and longer pauses, and never sooner than asked."""
    failures = [OSError(), SinkFailed("status 500"), TimeoutError(), RuntimeError(), SinkFailed("status 429", 3.0)]
    sink = Broken(failures)
    made, meter, pauses = exporter(house, sink, monkeypatch, house.file_sink(), 60)
    house.session("s1")
    await run(made)
    assert [json.loads(event) for event in sink.got] == told(house.tail("reference"))
    assert meter.numbers()[families.EXPORT_FAILED.name] == {("sink",): (5.0,)}
    assert meter.numbers()[families.EXPORTED.name] == {("sink", "delivered"): (5.0,)}
    assert meter.numbers()[families.EXPORT_BACKLOG.name] == {("sink",): (0.0,)}
    assert max(pauses) <= 1.0, "the backlog is looked at every second meanwhile"
    assert sum(pauses[: pauses.index(0.0)]) >= 0.5 + 1 + 2 + 4 + 8


async def test_exporter_sets_the_one_poisonous_event_aside(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others arrive, in order."""
    house.session("s1")
    everything = told(house.tail("reference"))
    bad = everything[2]["metadata"]["uid"]
    sink = Broken([], f'"{bad}"'.encode())
    made, meter, _ = exporter(house, sink, monkeypatch, house.file_sink(), 3)
    await run(made)
    assert [json.loads(event) for event in sink.got] == [each for each in everything if each["metadata"]["uid"] != bad]
    aside = house.home / "export" / "sink.rejected"
    assert json.loads(aside.read_text())["metadata"]["uid"] == bad
    assert aside.stat().st_mode & 0o777 == 0o600
    assert meter.numbers()[families.EXPORTED.name]["sink", "rejected"] == (1.0,)


async def test_exporter_that_is_full_drops_and_counts(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is oldest is passed over; nobody is refused."""
    for number in range(10):
        house.clock += 1
        house.session(f"s{number}")
    sink = Broken([OSError()] * 100)
    made, meter, _ = exporter(house, sink, monkeypatch, house.file_sink(max_backlog=5000), 3)
    await run(made)
    assert meter.numbers()[families.EXPORT_DROPPED.name]["sink",][0] > 10_000
    assert not flag_of(house.home / "export", "sink").exists()


async def test_exporter_that_is_full_refuses_until_there_is_room(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """No session is opened meanwhile, and nothing is left out."""
    for number in range(10):
        house.session(f"s{number}")
    settings = house.file_sink(max_backlog=5000, on_full=OnFull.REFUSE)
    sink = Broken([OSError()])
    made, _, _ = exporter(house, sink, monkeypatch, settings, 1)
    await run(made)
    flag = flag_of(house.home / "export", "sink")
    recording = StopsWhenFull(house.recording, (("sink", flag),))
    with pytest.raises(Refused, match='export sink "sink" is full'):
        recording.open("new")
    sink.script = [OSError()]
    await made.close()
    made, meter, _ = exporter(house, sink, monkeypatch, settings, 10)
    await run(made)
    assert not flag.exists()
    recording.open("new").close("x")
    assert len(sink.got) == len(told(house.tail("reference")))
    assert families.EXPORT_DROPPED.name not in meter.numbers()


async def test_what_is_left_is_told_at_the_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the sink takes it; what it does not take is told after the next start."""
    sink = Broken([])
    made, _, _ = exporter(house, sink, monkeypatch, house.file_sink(), 1)
    house.session("s1")
    await made.close()
    assert len(sink.got) == 5
    made, _, _ = exporter(house, sink, monkeypatch, house.file_sink(), 1)
    house.session("s2")
    sink.script = [OSError()]
    await made.close()
    made, _, _ = exporter(house, sink, monkeypatch, house.file_sink(), 1)
    await made.close()
    assert len(sink.got) == 10


async def test_one_process_exports(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one says so and tells nothing, at its end neither; it goes on where the first one ended."""
    sink = Broken([])
    first, _, _ = exporter(house, sink, monkeypatch, house.file_sink(), 1)
    second, _, pauses = exporter(house, sink, monkeypatch, house.file_sink(), 3)
    third, _, _ = exporter(house, sink, monkeypatch, house.file_sink(), 1)
    house.session("s1")
    with pytest.raises(Enough), capture_logs() as lines:
        await second.run()
    assert [line["event"].partition(";")[0] for line in lines] == ["export: another process exports here"]
    await third.close()
    assert (sink.got, len(pauses)) == ([], 3)
    await first.close()
    assert len(sink.got) == 5
    house.session("s2")
    await run(second)
    await second.close()
    assert [json.loads(event) for event in sink.got] == told(house.tail("reference"))
