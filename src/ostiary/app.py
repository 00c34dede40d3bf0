"""The composition root: the only place that knows every room. Settings in, a running gateway (or use-cases) out."""

import asyncio
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from ostiary.approvals import ApprovalService
from ostiary.config import Settings
from ostiary.control import Operations
from ostiary.core import Action, Target
from ostiary.credentials import (
    Issuer,
    LeaseService,
    PostgresAdmin,
    PostgresRoleIssuer,
    SecretUnavailable,
    StaticCredential,
    StaticIssuer,
)
from ostiary.gate.gate import Gate
from ostiary.gate.ports import Ports
from ostiary.identity import HttpFetch, OidcIdentity
from ostiary.masking import ColumnMasking
from ostiary.policy import CedarPolicy, PolicyError, check
from ostiary.protocols.postgres.catalog import CatalogCache
from ostiary.protocols.postgres.engine import PostgresEngine
from ostiary.protocols.postgres.statements import Judge
from ostiary.recording import FileRecording, Signer, TrustedKeys
from ostiary.runtime.dial import target_context
from ostiary.runtime.listener import Listener
from ostiary.runtime.local_tls import server_context
from ostiary.sql import analyze
from ostiary.store import Store
from ostiary.wire.contract import Engine

log = structlog.get_logger()
POLICY_POLL_SECONDS = 1.0
STOP_SECONDS = 35.0


class Targets:
    """Declared targets by name. Implements `gate.ports.Registry`."""

    def __init__(self, targets: tuple[Target, ...]) -> None:
        self.by_name = {target.name: target for target in targets}

    def target(self, name: str) -> Target | None:
        """The declared target, or None."""
        return self.by_name.get(name)


def identity_of(settings: Settings) -> OidcIdentity:
    """The issuers of the configuration."""
    return OidcIdentity(settings.issuers, HttpFetch(), time.time, allow_plaintext_loopback=settings.plaintext_loopback)


def operations_of(settings: Settings) -> Operations:
    """Use-cases on a gateway's state, whether or not it runs."""
    return Operations(
        identity_of(settings),
        settings.policies,
        settings.approvals,
        Targets(settings.targets).by_name,
        {
            name: "static" if isinstance(credential, StaticCredential) else "postgres-role"
            for name, credential in settings.credentials.items()
        },
        settings.recordings,
        lambda: TrustedKeys.load(settings.recordings),
        settings.state,
        _judged,
    )


def problems_of(settings: Settings) -> list[str]:
    """What is wrong with what the configuration points at: policies, secrets, certificates."""
    found = [str(problem) for problem in check(settings.policies, frozenset(settings.approvals))]
    for name, credential in settings.credentials.items():
        source = credential.password if isinstance(credential, StaticCredential) else credential.admin_password
        try:
            if source is not None:
                source.read()
        except SecretUnavailable as error:
            found.append(f"target {name}: {error}")
    if settings.tls is not None and settings.tls.cert is not None:
        try:
            server_context(settings.tls.cert, settings.tls.key, _state_dir(settings))
        except (OSError, ssl.SSLError) as error:
            found.append(f"server.tls: {settings.tls.cert}: {error.strerror or type(error).__name__}")
    return found


def _judged(target: Target, text: str) -> Action:
    judge = Judge(target, target.database, CatalogCache(time.monotonic), analyze)
    return judge.statement(text)


@dataclass(slots=True)
class Running:
    """A gateway that serves. `ports`: protocol → port it listens on."""

    ports: dict[str, int]
    leases: LeaseService
    _listeners: list[Listener]
    _approvals: ApprovalService
    _recording: FileRecording
    _store: Store
    _tasks: list[asyncio.Task[None]]

    async def stop(self) -> None:
        """End every session, take every credential back, seal every recording."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await asyncio.gather(*(listener.stop(STOP_SECONDS) for listener in self._listeners))
        finally:
            await self._approvals.stop()
            await self.leases.aclose()
            self._recording.close()
            await self._store.close()


async def start(settings: Settings) -> Running:
    """Open the state, bind the listeners. Raises the rooms' own readable errors; nothing is left open then."""
    policy = CedarPolicy(settings.policies, time.time)
    signer = Signer.load(settings.recording_key)
    recording = FileRecording(settings.recordings, signer, time.time, settings.fsync)
    store = await Store.open(settings.state)
    approvals = ApprovalService(store.approvals, settings.approvals, time.time, settings.url, settings.node)
    leases = LeaseService(_issuers(settings))
    await approvals.start()
    ports = Ports(
        Targets(settings.targets),
        identity_of(settings),
        policy,
        approvals,
        leases,
        ColumnMasking(settings.masking),
        recording,
    )
    gate = Gate(ports, time.time, lambda: secrets.token_hex(8))
    tls = server_context(settings.tls.cert, settings.tls.key, _state_dir(settings)) if settings.tls else None
    running = Running({}, leases, [], approvals, recording, store, [])
    try:
        for protocol, (host, port) in settings.listen.items():
            listener = Listener(gate, _engines(settings, tls), tls)
            running.ports[protocol] = await listener.start(host, port)
            running._listeners.append(listener)
    except BaseException:
        await running.stop()
        raise
    loop = asyncio.get_running_loop()
    running._tasks.append(loop.create_task(_follow_policies(policy, settings.policies)))
    running._tasks.append(loop.create_task(leases.run()))
    return running


def _engines(settings: Settings, tls: ssl.SSLContext | None) -> Callable[[str, bool], Engine]:
    catalogs = CatalogCache(time.monotonic)

    def make(source: str, loopback: bool) -> Engine:
        return PostgresEngine(
            source,
            loopback=loopback,
            tls_offered=tls is not None,
            plaintext=loopback and settings.plaintext_loopback,
            catalogs=catalogs,
            analyze=analyze,
            entropy=secrets.token_bytes,
        )

    return make


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


def _state_dir(settings: Settings) -> Path:
    return settings.recording_key.parent


async def _follow_policies(policy: CedarPolicy, directory: Path) -> None:
    """Reload when a file changed; what can't be loaded is said once, and what ruled goes on ruling."""
    seen = _stamp(directory)
    while True:
        await asyncio.sleep(POLICY_POLL_SECONDS)
        now = await asyncio.to_thread(_stamp, directory)
        if now == seen:
            continue
        seen = now
        try:
            log.info("policies reloaded", version=policy.reload())
        except PolicyError as error:
            log.warning("policies not reloaded; those before stay in force", problems=error.problems)


def _stamp(directory: Path) -> tuple[tuple[str, int, int], ...]:
    files = sorted(directory.glob("*.cedar")) if directory.is_dir() else [directory]
    found = []
    for path in files:
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((path.name, status.st_mtime_ns, status.st_size))
    return tuple(found)
