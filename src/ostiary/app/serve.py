"""A gateway that serves: every room made, put together, and taken down in the right order."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from ostiary.accounts import ISSUER_NAME
from ostiary.accounts.clients import Clients
from ostiary.accounts.identity import AccountIdentity, Liveness, Open
from ostiary.accounts.issued import Tokens
from ostiary.accounts.signing_keys import SigningKeys
from ostiary.app.api import Rooms, start_api
from ostiary.app.declared import with_stored
from ostiary.app.exporting import exporter_of, stopping
from ostiary.app.listening import listen, listener_tls
from ostiary.app.observing import issuer_named, observe, start_metrics, watch_lag
from ostiary.app.people import first_link, people_of
from ostiary.approvals import ApprovalService
from ostiary.config import Settings
from ostiary.core import Refusal, RefusalKind, Secret, Target
from ostiary.credentials import (
    Issuer,
    LeaseService,
    PostgresAdmin,
    PostgresRoleIssuer,
    StaticCredential,
    StaticIssuer,
)
from ostiary.gate.attempts import Attempts
from ostiary.gate.gate import Gate
from ostiary.gate.ports import Ports
from ostiary.identity import HttpFetch, Identities, OidcIssuer, X509Issuer
from ostiary.masking import ColumnMasking
from ostiary.oauth import OAuth
from ostiary.policy import CedarPolicy, PolicyError
from ostiary.protocols.registry import PROTOCOLS
from ostiary.recording import AuditLog, FileRecording, Signer
from ostiary.runtime.dial import target_context
from ostiary.runtime.listener import Listener
from ostiary.runtime.live import LiveSessions
from ostiary.store import Store
from ostiary.telemetry import Meter, exposition, families
from ostiary.telemetry.ports import MeasuredApprovals, MeasuredCredentials, MeasuredIdentity
from ostiary.wire.contract import Listening

log = structlog.get_logger()
POLICY_POLL_SECONDS = 1.0
ACCOUNT_POLL_SECONDS = 2.0
STOP_SECONDS = 35.0


#: Names, times and sizes of the policy files.
_Stamp = tuple[tuple[str, int, int], ...]


class Targets:
    """Declared targets by name. Implements `gate.ports.Registry`."""

    def __init__(self, targets: tuple[Target, ...]) -> None:
        self.by_name = {target.name: target for target in targets}

    def target(self, name: str) -> Target | None:
        """The declared target, or None."""
        return self.by_name.get(name)


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that serves. `ports`: protocol → port it listens on."""

    ports: dict[str, int]
    policy: CedarPolicy
    meter: Meter
    #: Address of the one-time link that sets up the local administrator, where nobody can sign in yet.
    setup_link: Secret | None
    _exit: AsyncExitStack

    def reload(self) -> None:
        """Read the policies again."""
        _reload(self.policy, self.meter)

    async def stop(self) -> None:
        """End every session, take every credential back, seal every recording."""
        await self._exit.aclose()


async def start(settings: Settings) -> Running:
    """Open the state, bind the listeners. Raises the rooms' own readable errors; nothing is left open then."""
    async with AsyncExitStack() as stack:
        store = await Store.open(settings.state_url())
        stack.push_async_callback(store.close)
        settings = await with_stored(settings, store)
        # Before they are read: what changes while the rest is made is noticed too.
        stamp = _stamp(settings.policies)
        policy = CedarPolicy(settings.policies, time.time, settings.stored_policies)
        masking_config = settings.masking()
        masking = ColumnMasking(masking_config)
        roots = [issuer.ca for issuer in settings.issuers if isinstance(issuer, X509Issuer)]
        tls = listener_tls(settings, "postgresql", roots)
        signer = Signer.load(settings.recording_key)
        meter = Meter()
        exporter = exporter_of(settings, meter)
        if exporter is not None:
            # After the recordings are sealed: their end is told too.
            stack.push_async_callback(exporter.close)
        recording = FileRecording(settings.recordings, signer, time.time, settings.fsync)
        stack.callback(recording.close)
        leases = LeaseService(_issuers(settings))
        stack.push_async_callback(leases.aclose)
        approvals = ApprovalService(store.approvals, settings.approvals, time.time, settings.url, settings.node)
        await approvals.start()
        stack.push_async_callback(approvals.stop)
        registry = Targets(settings.targets)
        plaintext, http = settings.plaintext_loopback, HttpFetch()
        others = Identities(
            settings.trusted, http, time.time, allow_plaintext_loopback=plaintext, beside=settings.people
        )
        own = _own_issuer(settings.url)
        clients = Clients(store.accounts, own, time.time)
        tokens = _tokens(settings, own, store) if own is not None else None
        accounts = AccountIdentity(clients, tokens, others, time.time, allow_plaintext_loopback=plaintext)
        identity = MeasuredIdentity(accounts, meter, issuer_named(settings.issuers))
        audit = AuditLog(recording)
        stack.callback(audit.close)
        signs_in = tokens is not None and settings.api is not None
        people = people_of(stack, settings, store, audit, others.names) if signs_in else None
        grants = people.grants if people is not None else None
        oauth = OAuth(clients, tokens, others, registry.by_name, time.time, grants) if tokens is not None else None
        asked, lent = MeasuredApprovals(approvals, meter), MeasuredCredentials(leases, meter)
        ports = Ports(registry, identity, policy, asked, lent, masking, stopping(settings, recording))
        gate = Gate(ports, time.time, lambda: secrets.token_hex(8))
        listening = Listening(tls is not None, plaintext, time.monotonic, secrets.token_bytes)
        serving: dict[str, int] = {}
        attempts = Attempts(time.monotonic)
        live, listeners = LiveSessions(), list[Listener]()
        for protocol, (host, port) in settings.listen.items():
            spoken = PROTOCOLS[protocol]()
            listener = Listener(gate, spoken.engines(listening), tls, spoken.turn_away, attempts)
            serving[protocol] = await listen(listener, host, port)
            stack.push_async_callback(_stop, listener)
            listeners.append(listener)
            live.follow(listener)
        liveness = Liveness(store.accounts, time.time)
        observe(meter, gate, listeners, recording, others, leases, policy)
        following = _follow(policy, settings.policies, stamp, meter)
        exporting = () if exporter is None else (exporter.run(),)
        for work in (following, leases.run(), _end_closed(liveness, listeners), watch_lag(meter), *exporting):
            task = asyncio.create_task(work)
            stack.push_async_callback(_cancel, task)
        if settings.api is not None:
            rooms = Rooms(
                identity,
                policy,
                registry.by_name,
                masking_config,
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
            )
            serving["api"] = await start_api(stack, settings, rooms)
        if settings.metrics is not None:
            serving["metrics"] = await start_metrics(stack, lambda: exposition(meter.numbers()), *settings.metrics)
        link = await first_link(settings, store, people) if people is not None else None
        return Running(serving, policy, meter, link, stack.pop_all())


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


def _tokens(settings: Settings, own: OidcIssuer, store: Store) -> Tokens:
    """The gateway's own. Raises SigningKeysError."""
    keys = SigningKeys(settings.recording_key.with_name("issuer.keys"), time.time)
    keys.all()
    return Tokens(own, keys, store.accounts, settings.token_lifetime, time.time)


async def _end_closed(liveness: Liveness, listeners: Sequence[Listener]) -> None:
    """End sessions for which their service account, its key or its token is good no more."""
    while True:
        await asyncio.sleep(ACCOUNT_POLL_SECONDS)
        live = [(driver, session) for each in listeners for driver in each.sessions if (session := driver.session)]
        opened = [Open(session.principal, session.target.name, driver.source) for driver, session in live]
        for (driver, _), why in zip(live, await liveness.ended(opened), strict=True):
            if why:
                driver.stop(Refusal(RefusalKind.EXPIRED, f"this session ends: {why}", "ask who runs the gateway"))


def _issuers(settings: Settings) -> dict[str, Issuer]:
    issuers: dict[str, Issuer] = {}
    for target in settings.targets:
        credential = settings.credentials[target.name]
        if isinstance(credential, StaticCredential):
            issuers[target.name] = StaticIssuer(credential)
        else:
            admin = PostgresAdmin(target, credential, target_context)
            issuers[target.name] = PostgresRoleIssuer(target, credential, admin, settings.node, time.time)
    return issuers


def _reload(policy: CedarPolicy, meter: Meter) -> None:
    """What can't be loaded is said, and what ruled goes on ruling."""
    try:
        log.info("policies reloaded", version=policy.reload())
        meter.count(families.RELOADS, "ok")
    except PolicyError as error:
        meter.count(families.RELOADS, "failed")
        log.warning("policies not reloaded; those before stay in force", problems=list(map(str, error.problems)))


async def _follow(policy: CedarPolicy, directory: Path, seen: _Stamp, meter: Meter) -> None:
    """Reload when a file changed since it was `seen`."""
    while True:
        await asyncio.sleep(POLICY_POLL_SECONDS)
        now = await asyncio.to_thread(_stamp, directory)
        if now != seen:
            seen = now
            _reload(policy, meter)


def _stamp(directory: Path) -> _Stamp:
    """Changes when any of the files does."""
    try:
        files = sorted(directory.glob("*.cedar")) if directory.is_dir() else [directory]
    except OSError:
        return ()
    found = []
    for path in files:
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((path.name, status.st_mtime_ns, status.st_size))
    return tuple(found)
