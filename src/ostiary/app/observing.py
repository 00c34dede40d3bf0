"""What the rooms of a running gateway count, read when somebody looks; and the listener that shows it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from ostiary import __version__
from ostiary.accounts import ISSUER_NAME
from ostiary.accounts.routing import is_assertion, issuer_of
from ostiary.accounts.secrets import PREFIX
from ostiary.app.listening import listen
from ostiary.core import Proof
from ostiary.credentials import LeaseService
from ostiary.gate.attempts import Attempts
from ostiary.gate.gate import Gate
from ostiary.identity import AnyIssuer
from ostiary.identity.keys import IssuerKeys
from ostiary.policy import CedarPolicy
from ostiary.recording import FileRecording
from ostiary.runtime.listener import Listener
from ostiary.telemetry import Meter, Numbers, Snapshots, SnapshotWriter, families, merge
from ostiary.telemetry.meter import Sample

if TYPE_CHECKING:
    from ostiary.api.access_log import Served

log = structlog.get_logger()

#: Seconds between two looks at how late a timer comes.
LAG_SECONDS: Final = 0.5
#: Between two times that a worker's numbers are written.
WRITE_SECONDS: Final = 1.0
_NUMBERS: Final = "numbers"


class HasKeys(Protocol):
    """As `Identities`."""

    def keys(self) -> Mapping[str, IssuerKeys]: ...  # noqa: D102


def read_gate(gate: Gate) -> Iterable[Sample]:
    """What it counted of each target."""
    for target, protocol, tally in gate.tallies:
        at = (target, protocol)
        yield families.OPENED, at, tally.opened
        for kind, count in tally.refused_sessions.items():
            yield families.SESSIONS_REFUSED, (*at, kind.value), count
        yield families.STATEMENTS, (*at, "allow"), tally.allowed
        yield families.STATEMENTS, (*at, "hold"), tally.held
        for kind, count in tally.refused_statements.items():
            yield families.STATEMENTS_REFUSED, (*at, kind.value), count
        yield families.ROWS, at, tally.rows
        yield families.MASKED, at, tally.masked_columns
        yield families.BYTES, (*at, "to_target"), tally.to_target
        yield families.BYTES, (*at, "to_client"), tally.to_client


def read_sessions(listeners: Iterable[Listener]) -> Iterable[Sample]:
    """Those that live, and what waits in them."""
    for listener in listeners:
        for driver in listener.sessions:
            session = driver.session
            if session is not None:
                at = (session.target.name, session.target.protocol)
                yield families.SESSIONS, at, 1
                yield families.HELD, at, driver.holds


def read_recording(recording: FileRecording) -> Iterable[Sample]:
    """What became of recordings."""
    for event in ("opened", "sealed", "unsealed"):
        yield families.RECORDINGS, (event,), getattr(recording, event)
    yield families.RECORDS, (), recording.records


def read_rooms(identities: HasKeys, leases: LeaseService, policy: CedarPolicy) -> Iterable[Sample]:
    """Keys of issuers, credentials, policies; what runs."""
    yield families.BUILD, (__version__,), 1
    yield families.POLICY_VERSION, (), policy.version
    for name, keys in identities.keys().items():
        yield families.KEYS_FETCHED, (name,), keys.fetches
        yield families.KEYS_FAILED, (name,), keys.failures
    for entry in leases.leases:
        yield families.LEASES, (entry.target, entry.state.value), 1


def observe(
    meter: Meter,
    gate: Gate,
    listeners: Sequence[Listener],
    recording: FileRecording,
    identities: HasKeys,
    leases: LeaseService,
    policy: CedarPolicy,
) -> None:
    """Read these whenever somebody looks."""
    meter.source(partial(read_gate, gate))
    meter.source(partial(read_sessions, listeners))
    meter.source(partial(read_recording, recording))
    meter.source(partial(read_rooms, identities, leases, policy))


def issuer_named(issuers: Iterable[AnyIssuer]) -> Callable[[Proof], str]:
    """The configured issuer a proof says it is of; "" where it says nothing, or another one. Nothing is believed."""
    names: Mapping[str, str] = {url: issuer.name for issuer in issuers for url in issuer.accepted}

    def named(proof: Proof) -> str:
        token = proof.token.reveal()
        if token.startswith(PREFIX) or is_assertion(token):
            return ISSUER_NAME
        return names.get(issuer_of(token), "")

    return named


def count_request(meter: Meter, served: "Served") -> None:
    """A request of the API is over."""
    meter.observe(families.REQUESTS, served.seconds, served.method, served.route, str(served.status))


async def watch_lag(meter: Meter) -> None:
    """See how late the loop is, until cancelled."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(LAG_SECONDS)
        meter.observe(families.LAG, max(0.0, time.perf_counter() - began - LAG_SECONDS))


def numbers_of_all(meter: Meter, shared: Path) -> Callable[[], Numbers]:
    """What this process and the workers have counted together."""
    snapshots = Snapshots(shared / _NUMBERS, time.time)
    return lambda: merge([meter.numbers(), snapshots.numbers()])


async def write_numbers(meter: Meter, shared: Path) -> None:
    """Have this worker's numbers read by the process that shows them, until cancelled."""
    writer, failed = SnapshotWriter(shared / _NUMBERS, meter, time.time), False
    while True:
        try:
            writer.write()
            failed = False
        except OSError as error:
            if not failed:
                log.warning("metrics of a worker could not be written", error=str(error))
            failed = True
        await asyncio.sleep(WRITE_SECONDS)


async def start_metrics(stack: AsyncExitStack, render: Callable[[], bytes], host: str, port: int) -> int:
    """Listen for scrapers, without TLS and tokens: on a loopback address only. Returns the port."""
    from ostiary.api.metrics import metrics_app
    from ostiary.api.server import ApiServer

    server = ApiServer(metrics_app(render), None, Attempts(time.monotonic))
    bound = await listen(server, host, port)
    stack.push_async_callback(server.stop)
    return bound
