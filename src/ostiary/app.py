"""The composition root: the only place that knows every room. Settings in, a running gateway (or use-cases) out."""

import asyncio
import errno
import os
import secrets
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from ostiary.approvals import ApprovalService
from ostiary.config import Settings
from ostiary.control import Operations
from ostiary.core import Action, Target, TlsMode
from ostiary.credentials import (
    Issuer,
    LeaseService,
    PostgresAdmin,
    PostgresRoleCredential,
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
from ostiary.recording import FileRecording, KeyProblem, Signer
from ostiary.runtime.dial import target_context
from ostiary.runtime.listener import Listener
from ostiary.runtime.local_tls import server_context
from ostiary.sql import analyze
from ostiary.store import Store, StoreError
from ostiary.wire.contract import Engine

log = structlog.get_logger()
POLICY_POLL_SECONDS = 1.0
STOP_SECONDS = 35.0
#: Errors of a listener that say all by themselves; asyncio's own text repeats the address in its own way.
_USUAL = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)


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
        identity=identity_of(settings),
        policies=settings.policies,
        approval_groups=settings.approvals,
        targets=Targets(settings.targets).by_name,
        credentials={name: kind_of(credential) for name, credential in settings.credentials.items()},
        recordings=settings.recordings,
        recording_key=settings.recording_key,
        state=settings.state_url,
        judge=_judged,
    )


def kind_of(credential: StaticCredential | PostgresRoleCredential) -> str:
    """As `type:` names it."""
    return StaticIssuer.kind if isinstance(credential, StaticCredential) else PostgresRoleIssuer.kind


def problems_of(settings: Settings) -> list[str]:
    """What is wrong with what the configuration points at: policies, secrets, certificates, keys, directories."""
    return [*map(str, check(settings.policies, frozenset(settings.approvals))), *_problems(settings)]


def _problems(settings: Settings) -> Iterator[str]:
    place = settings.place
    for index, target in enumerate(settings.targets):
        credential = settings.credentials[target.name]
        source = credential.password if isinstance(credential, StaticCredential) else credential.admin_password
        if source is not None:
            yield from _told(place("targets", index, "credential"), f"target {target.name}: ", source.read)
        if target.tls.mode is not TlsMode.DISABLE:
            yield from _told(place("targets", index, "tls"), "tls: ", partial(target_context, target.tls))
    if settings.tls is not None and settings.tls.cert is not None:
        yield from _told(place("server", "tls"), "server.tls: ", lambda: _listener_tls(settings))
    yield from _told(place("server", "masking_key"), "server.masking_key: ", settings.masking)
    yield from _told(place("server", "state"), "server.state: ", settings.state_url)
    yield from _told(place("server", "recording_key"), "", lambda: _check_key(settings.recording_key))
    for name in ("recordings", "recording_key"):
        above = _existing(getattr(settings, name))
        if not os.access(above, os.W_OK | os.X_OK):
            yield f"{place('server', name)}: server.{name}: {above} can't be written to by this user"


def _told(where: str, what: str, attempt: Callable[[], object]) -> Iterator[str]:
    try:
        attempt()
    except ssl.SSLError as error:
        yield f"{where}: {what}not a certificate and its key in PEM form ({error.reason or type(error).__name__})"
    except OSError as error:
        yield f"{where}: {what}{error.filename or 'a file'} can't be read: {error.strerror}"
    except (SecretUnavailable, KeyProblem, StoreError, ValueError) as error:
        yield f"{where}: {what}{error}"


def _check_key(path: Path) -> None:
    if path.exists():
        Signer.load(path)


def _existing(path: Path) -> Path:
    """The path's nearest directory that is there."""
    return next(each for each in (path, *path.parents) if each.is_dir())


def _judged(target: Target, text: str) -> Action:
    judge = Judge(target, target.database, CatalogCache(time.monotonic), analyze)
    return judge.statement(text)


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that serves. `ports`: protocol → port it listens on."""

    ports: dict[str, int]
    policy: CedarPolicy
    _exit: AsyncExitStack

    def reload(self) -> None:
        """Read the policies again."""
        _reload(self.policy)

    async def stop(self) -> None:
        """End every session, take every credential back, seal every recording."""
        await self._exit.aclose()


async def start(settings: Settings) -> Running:
    """Open the state, bind the listeners. Raises the rooms' own readable errors; nothing is left open then."""
    async with AsyncExitStack() as stack:
        policy = CedarPolicy(settings.policies, time.time)
        masking = ColumnMasking(settings.masking())
        tls = _listener_tls(settings) if settings.tls is not None else None
        signer = Signer.load(settings.recording_key)
        recording = FileRecording(settings.recordings, signer, time.time, settings.fsync)
        stack.callback(recording.close)
        store = await Store.open(settings.state_url())
        stack.push_async_callback(store.close)
        leases = LeaseService(_issuers(settings))
        stack.push_async_callback(leases.aclose)
        approvals = ApprovalService(store.approvals, settings.approvals, time.time, settings.url, settings.node)
        await approvals.start()
        stack.push_async_callback(approvals.stop)
        registry, identity = Targets(settings.targets), identity_of(settings)
        ports = Ports(registry, identity, policy, approvals, leases, masking, recording)
        gate = Gate(ports, time.time, lambda: secrets.token_hex(8))
        serving: dict[str, int] = {}
        for protocol, (host, port) in settings.listen.items():
            listener = Listener(gate, _engines(settings, tls), tls)
            serving[protocol] = await _listen(listener, host, port)
            stack.push_async_callback(_stop, listener)
        for work in (_follow(policy, settings.policies), leases.run()):
            task = asyncio.create_task(work)
            stack.push_async_callback(_cancel, task)
        return Running(serving, policy, stack.pop_all())


async def _listen(listener: Listener, host: str, port: int) -> int:
    try:
        return await listener.start(host, port)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno in _USUAL else str(error)
        raise OSError(f"{host}:{port} can't be listened on: {why}") from error


async def _stop(listener: Listener) -> None:
    """A session that does not end in time keeps nobody else's credential from being taken back."""
    try:
        await listener.stop(STOP_SECONDS)
    except TimeoutError:
        log.warning("some sessions did not end in time", sessions=len(listener.sessions))


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


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


def _listener_tls(settings: Settings) -> ssl.SSLContext:
    assert settings.tls is not None
    return server_context(settings.tls.cert, settings.tls.key, settings.recording_key.parent)


def _reload(policy: CedarPolicy) -> None:
    """What can't be loaded is said, and what ruled goes on ruling."""
    try:
        log.info("policies reloaded", version=policy.reload())
    except PolicyError as error:
        log.warning("policies not reloaded; those before stay in force", problems=list(map(str, error.problems)))


async def _follow(policy: CedarPolicy, directory: Path) -> None:
    """Reload when a file changed."""
    seen = _stamp(directory)
    while True:
        await asyncio.sleep(POLICY_POLL_SECONDS)
        now = await asyncio.to_thread(_stamp, directory)
        if now != seen:
            seen = now
            _reload(policy)


def _stamp(directory: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, times and sizes of the files: changes when any of them does."""
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
