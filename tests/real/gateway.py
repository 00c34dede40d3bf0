"""A gateway in a process of its own, for real clients to connect to.

`running` starts it; `main` is the process: the real gate, listener and PostgreSQL engine over ports that trust
everyone, permit everything, lend one static login, and write down what happened. Swap `main` and the callers stay.
"""

import asyncio
import json
import os
import resource
import secrets
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import uvloop

from ostiary.core import Lease, Principal, PrincipalKind, Proof, Record, Result, Secret, Target, TlsMode, TlsSettings
from ostiary.gate.attempts import Attempts
from ostiary.gate.gate import Gate
from ostiary.gate.ports import Rights
from ostiary.protocols.postgres import refuse
from ostiary.protocols.postgres.catalog import CatalogCache
from ostiary.protocols.postgres.engine import PostgresEngine
from ostiary.runtime import session
from ostiary.runtime.listener import Listener
from ostiary.sql import analyze
from tests.gate.fakes import FakeMasker, World
from tests.real.certificates import Authority

#: What clients of this gateway send as their password.
TOKEN = "a-token-everyone-believes"
#: Besides each target's own database clients may open this one.
SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process is told, as JSON on its command line; the upstream password comes in its environment."""

    #: name → (host, port, default database)
    targets: dict[str, tuple[str, int, str]]
    username: str
    #: JSON lines of records; "" keeps none.
    records: str = ""
    certificate: str = ""
    key: str = ""
    #: Every result goes through the gate and is encoded anew; without it rows are relayed as they came.
    release: bool = True
    #: For a client up to its token, and for a target up to its readiness.
    handshake_seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway."""

    host: str
    #: Offers TLS, takes plain connections too.
    port: int
    #: Offers no TLS.
    plain_port: int
    ca: Path
    process: subprocess.Popen[str]
    records_path: Path
    token: str = TOKEN

    def records(self) -> list[dict[str, Any]]:
        """Everything recorded so far: {"session", "record" (its type), its fields}."""
        if not self.records_path.exists():
            return []
        return [json.loads(line) for line in self.records_path.read_text().splitlines()]

    def until(self, condition: Callable[["Gateway"], bool], what: str, seconds: float = 15.0) -> None:
        """Poll until it holds. Raises TimeoutError naming `what`."""
        end = time.monotonic() + seconds
        while not condition(self):
            if time.monotonic() > end:
                raise TimeoutError(f"never happened: {what}")
            time.sleep(0.02)

    def ended(self) -> dict[str, str]:
        """Sessions whose record is closed → the reason."""
        return {r["session"]: r["reason"] for r in self.records() if r["record"] == "SessionEnded"}

    def open_sessions(self) -> set[str]:
        """Sessions recorded as started and not as ended."""
        return {r["session"] for r in self.records() if r["record"] == "SessionStarted"} - set(self.ended())

    def rss(self) -> int:
        """Resident bytes now."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def cpu(self) -> float:
        """CPU seconds spent so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)


@contextmanager
def running(
    home: Path,
    targets: dict[str, tuple[str, int, str]],
    username: str,
    password: Secret | None,
    *,
    release: bool = True,
    record: bool = True,
    handshake_seconds: float = 20.0,
) -> Iterator[Gateway]:
    """Start a gateway, stop it at the end. `home`: an empty directory for its files."""
    authority = Authority("gateway test CA")
    certificate, key = authority.issue("127.0.0.1", ("127.0.0.1", "localhost"))
    for name, content in (("ca.pem", authority.certificate_pem), ("gw.crt", certificate), ("gw.key", key)):
        (home / name).write_bytes(content)
    records = home / "records.jsonl"
    settings = Settings(
        targets,
        username,
        str(records) if record else "",
        str(home / "gw.crt"),
        str(home / "gw.key"),
        release,
        handshake_seconds,
    )
    environment = dict(os.environ)
    if password is not None:
        environment["UPSTREAM_PASSWORD"] = password.reveal_text()
    log = (home / "gateway.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.real.gateway", json.dumps(asdict(settings))],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the gateway did not start: {(home / 'gateway.log').read_text()[-2000:]}")
        ports = json.loads(line)
        yield Gateway("127.0.0.1", ports["tls"], ports["plain"], home / "ca.pem", process, records)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
        log.close()


# ---------------------------------------------------------------- inside the process


class FileRecorder:
    """One session's records as JSON lines in a file all sessions share."""

    def __init__(self, descriptor: int, session_id: str) -> None:
        self._descriptor = descriptor
        self._session_id = session_id
        self._waiting: list[Record] = []

    def write(self, *records: Record) -> None:
        self.later(*records)
        self.flush()

    def later(self, *records: Record) -> None:
        if self._descriptor >= 0:
            self._waiting += records

    def flush(self) -> None:
        if self._waiting:
            lines = [
                json.dumps({"session": self._session_id, "record": type(r).__name__, **asdict(r)}, default=list) + "\n"
                for r in self._waiting
            ]
            os.write(self._descriptor, "".join(lines).encode())
            self._waiting.clear()

    def close(self, reason: str) -> None:
        del reason
        self.flush()


class SameMasker(FakeMasker):
    """Changes nothing, and asks to see every batch: so the engine encodes each row itself."""

    def mask(self, result: Result) -> tuple[Result, bool]:
        for index in range(len(result.columns)):
            result.rows.column(index)
        return Result(result.kind, result.columns, result.rows.replaced({})), False


class TrustingWorld(World):
    """All ports of the process."""

    def __init__(self, settings: Settings, password: str | None) -> None:
        super().__init__()
        self._settings = settings
        self._password = Secret(password) if password is not None else None
        plain = TlsSettings(TlsMode.DISABLE)
        self.targets = {
            name: Target(name, "postgres", host, port, database, tls=plain, databases=(SCRATCH,))
            for name, (host, port, database) in settings.targets.items()
        }
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
        self._records = os.open(settings.records, flags, 0o600) if settings.records else -1

    async def identify(self, proof: Proof) -> Principal:
        assert proof.token == Secret(TOKEN)
        end = time.time() + 3600
        return Principal(PrincipalKind.WORKLOAD, "ci", "conformance", frozenset(), end, end, "jti")

    async def lease(self, session_id: str, principal: Principal, target: Target) -> Lease:
        del session_id, principal, target
        return Lease("static", self._settings.username, self._password, "static")

    async def revoke(self, target: Target, lease: Lease) -> str:
        del target, lease
        return "static: nothing to take back"

    def required(self, target: Target) -> bool:
        del target
        return self._settings.release

    def forbidden(self, rights: Rights, target: Target, shape: object) -> None:
        """Nothing has a class."""
        del rights, target, shape

    def masker(self, rights: Rights, target: Target, action: object) -> FakeMasker:
        del rights, target, action
        return SameMasker(self)

    def open(self, session_id: str) -> FileRecorder:  # type: ignore[override]  # the port's type, not the fake's
        return FileRecorder(self._records, session_id)


async def _serve(settings: Settings) -> None:
    session.HANDSHAKE_SECONDS = session.LOGIN_SECONDS = settings.handshake_seconds
    world = TrustingWorld(settings, os.environ.pop("UPSTREAM_PASSWORD", None))
    gate = Gate(world.ports(), time.time, lambda: secrets.token_hex(8))
    catalogs = CatalogCache(time.monotonic)

    def engine(tls_offered: bool) -> Callable[[str, bool], PostgresEngine]:
        return lambda source, loopback: PostgresEngine(
            source,
            loopback=loopback,
            tls_offered=tls_offered,
            plaintext=True,
            catalogs=catalogs,
            analyze=analyze,
            entropy=secrets.token_bytes,
        )

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.certificate, settings.key)
    context.set_alpn_protocols(["postgresql"])
    # As many as they like: a quarter of an hour goes by with each look at the clock.
    attempts = Attempts(count(step=1000).__next__)
    listeners = (
        Listener(gate, engine(True), context, refuse.fatal, attempts),
        Listener(gate, engine(False), None, refuse.fatal, attempts),
    )
    ports = [await listener.start("127.0.0.1", 0) for listener in listeners]
    print(json.dumps({"tls": ports[0], "plain": ports[1]}), flush=True)
    stop = asyncio.Event()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    for listener in listeners:
        await listener.stop(5)


def main() -> None:
    """The process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    uvloop.run(_serve(Settings(**json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
