"""A gateway that serves: every room made, put together, and taken down in the right order."""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from ostiary import config
from ostiary.accounts import ISSUER_NAME
from ostiary.accounts.clients import Clients
from ostiary.accounts.identity import AccountIdentity, Liveness
from ostiary.accounts.issued import Tokens
from ostiary.accounts.refused import TellsRefused
from ostiary.accounts.signing_keys import SigningKeys
from ostiary.app.adoption import Adoption
from ostiary.app.api import Rooms, start_api
from ostiary.app.current import Current, CurrentIdentity, Targets
from ostiary.app.ending import AccountStanding, end_closed, end_unwelcome
from ostiary.app.exporting import exporter_of, stopping
from ostiary.app.issuing import issuers_of
from ostiary.app.listening import client_roots, listen, protocol_tls
from ostiary.app.observing import numbers_of_all, observe, start_metrics, watch_lag, write_numbers
from ostiary.app.part import WHOLE, Part
from ostiary.app.people import first_link, people_of
from ostiary.app.watch import Watch, stamp
from ostiary.approvals import ApprovalService
from ostiary.config import Settings
from ostiary.core import Secret
from ostiary.credentials import LeaseService
from ostiary.gate.attempts import Attempts
from ostiary.gate.gate import Gate
from ostiary.gate.ports import Ports
from ostiary.identity import HttpFetch, Identities, OidcIssuer
from ostiary.masking import ColumnMasking
from ostiary.oauth import OAuth, TellsTokens
from ostiary.policy import CedarPolicy
from ostiary.protocols.registry import PROTOCOLS
from ostiary.recording import AuditLog, FileRecording, Signer
from ostiary.runtime.interrupts import Interrupts
from ostiary.runtime.listener import Listener
from ostiary.runtime.live import LiveSessions
from ostiary.runtime.neighbours import Neighbours
from ostiary.runtime.presence import Presences
from ostiary.store import Store
from ostiary.telemetry import Meter, exposition
from ostiary.telemetry.ports import MeasuredApprovals, MeasuredCredentials, MeasuredIdentity
from ostiary.wire.contract import Listening

log = structlog.get_logger()
STOP_SECONDS = 35.0


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that serves. `ports`: protocol → port it listens on."""

    ports: dict[str, int]
    #: Address of the one-time link that sets up the local administrator, where nobody can sign in yet.
    setup_link: Secret | None
    _adoption: Adoption
    _watch: Watch
    _exit: AsyncExitStack

    def adopt(self, settings: Settings) -> None:
        """Put other settings into force, all of them or none. Raises the rooms' own readable errors."""
        self._adoption.adopt(settings)

    def reload(self) -> None:
        """Read everything again, now."""
        self._watch.hurry()

    async def stop(self) -> None:
        """End every session, take every credential back, seal every recording."""
        await self._exit.aclose()


async def start(settings: Settings, part: Part = WHOLE) -> Running:
    """Open the state, bind the listeners. Raises the rooms' own readable errors; nothing is left open then."""
    async with AsyncExitStack() as stack:
        store = await Store.open(settings.state_url())
        stack.push_async_callback(store.close)
        stored = await store.resources.all()
        # Before they are read: what changes while the rest is made is noticed too.
        seen = stamp(settings)
        settings = part.of(config.load(settings.path, stored.items))
        policy = CedarPolicy(settings.policies, time.time, settings.stored_policies)
        masking = ColumnMasking(settings.masking())
        tls = protocol_tls(settings)
        signer = Signer.load(settings.recording_key)
        meter = Meter()
        exporter = None if part.worker else exporter_of(settings, meter)
        if exporter is not None:
            # After the recordings are sealed: their end is told too.
            stack.push_async_callback(exporter.close)
        recording = FileRecording(settings.recordings, signer, time.time, settings.fsync)
        stack.callback(recording.close)
        leases = LeaseService(issuers_of(settings, None, {}))
        stack.push_async_callback(leases.aclose)
        groups = Current(settings.approvals)
        approvals = ApprovalService(store.approvals, groups, time.time, settings.url, settings.node)
        await approvals.start()
        stack.push_async_callback(approvals.stop)
        targets = Targets(settings.targets)
        plaintext, http = settings.plaintext_loopback, HttpFetch()
        others = CurrentIdentity(
            Identities(settings.trusted, http, time.time, allow_plaintext_loopback=plaintext, beside=settings.people),
            settings.issuers,
            settings.people,
        )
        own = _own_issuer(settings.url)
        clients = Clients(store.accounts, own, time.time)
        tokens = _tokens(settings, own, store, others.standing) if own is not None else None
        accounts = AccountIdentity(clients, tokens, others, time.time, allow_plaintext_loopback=plaintext)
        audit = AuditLog(recording)
        stack.callback(audit.close)
        measured = MeasuredIdentity(accounts, meter, others.named)
        identity = TellsRefused(measured, audit.write, others.named, time.time)
        signs_in = tokens is not None and settings.api is not None
        people = people_of(stack, settings, store, audit, others) if signs_in else None
        grants = people.grants if people is not None else None
        bound = tls is not None and bool(client_roots(settings))
        oauth = None
        if tokens is not None:
            tells = TellsTokens(audit.write, time.time)
            oauth = OAuth(clients, tokens, others, targets, time.time, tells, grants, bound=bound)
        standing = AccountStanding(Liveness(store.accounts, time.time, patience=0.0))
        asked, lent = MeasuredApprovals(approvals, meter), MeasuredCredentials(leases, meter)
        ports = Ports(targets, identity, policy, asked, lent, masking, stopping(settings, recording), standing)
        gate = Gate(ports, time.time, lambda: secrets.token_hex(8))
        listening = Listening(tls is not None, plaintext, time.monotonic, secrets.token_bytes, part.worker)
        serving: dict[str, int] = {}
        attempts = Attempts(time.monotonic)
        live, listeners, interrupts = LiveSessions(), list[Listener](), Interrupts()
        numbers = meter.numbers
        if part.shared is not None and not part.worker:
            numbers = numbers_of_all(meter, part.shared)
        elif part.shared is not None:
            neighbours = Neighbours(part.shared, part.worker, interrupts)
            await neighbours.start()
            stack.push_async_callback(neighbours.close)
        presences = Presences(store.presences, live, settings.node, time.time)
        stack.push_async_callback(presences.close)
        for protocol, (host, port) in (settings.listen if part.listen is None else part.listen).items():
            spoken = PROTOCOLS[protocol]()
            engines = spoken.engines(listening)
            listener = Listener(gate, engines, tls, spoken.turn_away, attempts, interrupts, reuse_port=part.worker > 0)
            serving[protocol] = await listen(listener, host, port)
            stack.push_async_callback(_stop, listener)
            listeners.append(listener)
            live.follow(listener)
        adoption = Adoption(settings, policy, masking, leases, targets, groups, others, listeners, meter, part)
        if people is not None:
            adoption.preparing.append(people.prepared)
        observe(meter, gate, listeners, recording, others, leases, policy)
        watch = Watch(adoption, store, seen, stored.revision)
        exporting = () if exporter is None else (exporter.run(),)
        counting = (write_numbers(meter, part.shared),) if part.shared is not None and part.worker else ()
        for work in (
            watch.run(),
            leases.run(),
            presences.run(),
            end_closed(Liveness(store.accounts, time.time), listeners),
            end_unwelcome(policy, targets, listeners),
            watch_lag(meter),
            *counting,
            *exporting,
        ):
            stack.push_async_callback(_cancel, asyncio.create_task(work))
        if settings.api is not None:
            rooms = Rooms(
                identity,
                policy,
                targets,
                groups,
                masking.config,
                recording,
                signer,
                store,
                approvals,
                live,
                leases,
                attempts,
                oauth,
                meter,
                people,
                audit,
                watch.adopted,
                lambda: watch.problems,
                adoption.followers,
                part.complete,
                numbers,
            )
            serving["api"] = await start_api(stack, settings, rooms)
        if settings.metrics is not None:
            serving["metrics"] = await start_metrics(stack, lambda: exposition(numbers()), *settings.metrics)
        link = await first_link(settings, store, people) if people is not None else None
        return Running(serving, link, adoption, watch, stack.pop_all())


async def _stop(listener: Listener) -> None:
    """A session that does not end in time keeps nobody else's credential from being taken back."""
    try:
        await listener.stop(STOP_SECONDS)
    except TimeoutError:
        log.warning("some sessions did not end in time", sessions=len(listener.sessions))


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _own_issuer(url: str) -> OidcIssuer | None:
    """The gateway as an issuer; None where its URL is no name for one: none at all, or plain http on a network."""
    try:
        return OidcIssuer(ISSUER_NAME, url, (url,))
    except ValueError:
        return None


def _tokens(settings: Settings, own: OidcIssuer, store: Store, standing: Callable[[str], str]) -> Tokens:
    """The gateway's own. Raises SigningKeysError."""
    keys = SigningKeys(settings.recording_key.with_name("issuer.keys"), time.time)
    keys.all()
    return Tokens(own, keys, store.accounts, settings.token_lifetime, time.time, standing)
