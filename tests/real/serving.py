"""`ostiary serve` as it is run: its own process, its own configuration, on a real PostgreSQL, with a local issuer."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString, TypeVar

import httpx2
import psycopg

from ostiary.core import Secret
from ostiary.identity.local_issuer import LocalIssuer
from tests.real.servers import PostgresServer

T = TypeVar("T")
AUDIENCE = "ostiary-tests"
MASKING_KEY = "a masking key of some length"
ADMIN_PASSWORD = "adm1n-canary-5e21"
_CONFIG = """\
server:
  state: sqlite:state.db
  tls: auto
  masking_key: {{env: SERVED_MASKING_KEY}}
  listen: {{postgres: 127.0.0.1:0, api: 127.0.0.1:0}}
issuers:
  - name: ci
    type: oidc
    issuer: {issuer}
    audience: {audience}
    groups: ["{{groups}}"]
    leeway: 0s
    session_grace: 0s
targets:
  - name: shop
    protocol: postgres
    address: 127.0.0.1:{port}
    database: {database}
    tls: {{mode: verify-full, ca: {ca}}}
    credential:
      type: postgres-role
      admin: {{username: served_admin, password: {{env: SERVED_ADMIN_PASSWORD}}}}
      member_of: [served_rw]
policies: policies
classification:
  - {{target: shop, object: public.people.email, class: pii.email}}
masking:
  pii.email: {{transform: hash, text_only: true}}
  pii.code: {{transform: token}}
approvals:
  dba: {{members: [{{group: dba}}], required: 1, timeout: {timeout}}}
"""
POLICY = """\
@id("operators")
permit (principal in Group::"ops", action in [Action::"view", Action::"administer", Action::"audit"], resource);
@id("approvers")
permit (principal in Group::"dba", action == Action::"approve", resource in Target::"shop");
@id("sees")
permit (principal in Group::"seers", action == Action::"view", resource in Target::"shop");
@id("sees-codes")
permit (principal in Group::"seers", action == Action::"unmask", resource == DataClass::"pii.code");
@id("works")
permit (principal in Group::"app", action, resource);
@id("functions")
permit (principal in Group::"app", action == Action::"unknown", resource);
@id("no-unbounded-delete")
forbid (principal, action == Action::"delete", resource) unless { context.has_where };
@id("dba-approves")
@approval("dba")
forbid (principal, action == Action::"define", resource);
"""
_DATABASE = """\
CREATE ROLE served_rw NOLOGIN;
CREATE ROLE served_admin LOGIN CREATEROLE PASSWORD '{password}';
GRANT served_rw TO served_admin WITH ADMIN OPTION;
GRANT pg_signal_backend TO served_admin;
"""
_TABLES = """\
GRANT USAGE, CREATE ON SCHEMA public TO served_rw;
SET ROLE served_rw;
CREATE TABLE people (id int PRIMARY KEY, email text);
INSERT INTO people SELECT n, 'person' || n || '@example.org' FROM generate_series(1, 10) n;
"""


def until(ask: Callable[[], T | None], what: str, seconds: float = 20.0) -> T:
    """The first answer that is true. Raises TimeoutError naming what never happened."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > end:
            raise TimeoutError(f"never happened: {what}")
        time.sleep(0.02)
    return answer


@contextmanager
def issuing() -> Iterator[LocalIssuer]:
    """A local issuer, served by a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    issuer = LocalIssuer()
    asyncio.run_coroutine_threadsafe(issuer.start(), loop).result(10)
    try:
        yield issuer
    finally:
        asyncio.run_coroutine_threadsafe(issuer.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def prepare(server: PostgresServer, database: str) -> None:
    """The admin account with the documented grants, once a server, and a table in a database of its own."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("SET log_statement = none")
        if connection.execute("SELECT FROM pg_roles WHERE rolname = 'served_rw'").fetchone() is None:
            connection.execute(_DATABASE.format(password=ADMIN_PASSWORD).encode())
        connection.execute(f"CREATE DATABASE {database}".encode())
    with psycopg.connect(server.dsn(database), autocommit=True) as connection:
        connection.execute(_TABLES.encode())


@dataclass
class Served:
    """A gateway's home, and its process while it runs."""

    home: Path
    server: PostgresServer
    database: str
    issuer: LocalIssuer
    timeout: str = "10m"
    process: "subprocess.Popen[bytes] | None" = None
    port: int = 0
    api_port: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    #: Further ones of `serve`.
    arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.environment = {
            **os.environ,
            "SERVED_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "SERVED_MASKING_KEY": MASKING_KEY,
            "PYTHONWARNINGS": "error",
        }
        (self.home / "policies").mkdir(parents=True)
        self.policy(POLICY)
        self.config.write_text(
            _CONFIG.format(
                issuer=self.issuer.url,
                audience=AUDIENCE,
                port=self.server.port,
                database=self.database,
                ca=self.server.ca,
                timeout=self.timeout,
            )
        )

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.home / "ostiary.yaml"

    @property
    def log(self) -> Path:
        """What all its runs said, JSON lines."""
        return self.home / "serve.log"

    def policy(self, text: str) -> None:
        """Write the policies, in one step."""
        draft = self.home / "draft"
        draft.write_text(text)
        draft.replace(self.home / "policies" / "served.cedar")

    def start(self) -> None:
        """Serve; wait until it does."""
        known = len(self.events("serving"))
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ostiary", "serve", "-c", str(self.config), *self.arguments],
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        self.process = process
        until(lambda: len(self.events("serving")) > known or process.poll() is not None, "serving", 40.0)
        assert process.poll() is None, self.log.read_text()
        self.port = int(self.events("serving")[-1]["postgres"])
        self.api_port = int(self.events("serving")[-1]["api"])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(40)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of the log with this event."""
        if not self.log.exists():
            return []
        lines = [line for line in self.log.read_text().splitlines(keepends=True) if line.endswith("}\n")]
        return [event for line in lines if (event := json.loads(line))["event"] == name]

    def token(self, subject: str = "job", *groups: str, lifetime: float = 3600.0) -> Secret:
        """A token for this gateway; without groups it is in `app`."""
        return self.issuer.mint(subject, AUDIENCE, lifetime, groups=list(groups or ("app",)))

    def connect(self, token: Secret | None = None, **more: Any) -> "psycopg.Connection[tuple[Any, ...]]":
        """As a program does."""
        settings: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "dbname": "shop",
            "user": "anybody",
            "password": (token or self.token()).reveal_text(),
            "sslmode": "verify-full",
            "sslrootcert": str(self.home / "gateway.crt"),
            "gssencmode": "disable",
            "connect_timeout": 20,
            "autocommit": True,
        }
        return psycopg.connect(**{**settings, **more})

    def api(self, method: str, path: str, token: Secret | None, body: Any = None, **headers: str) -> httpx2.Response:
        """As a client of the API does, with the gateway's certificate as its authority."""
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal_text()}"
        context = ssl.create_default_context(cafile=str(self.home / "gateway.crt"))
        url = f"https://127.0.0.1:{self.api_port}{path}"
        return httpx2.request(method, url, headers=headers, json=body, verify=context, timeout=20)

    def cli(self, *arguments: str, token: Secret | None = None) -> "subprocess.CompletedProcess[str]":
        """As a person does."""
        environment = {**self.environment, **({"OSTIARY_TOKEN": token.reveal_text()} if token else {})}
        command = [sys.executable, "-m", "ostiary", *arguments, "-c", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)

    def json(self, *arguments: str) -> Any:
        """What a command prints with `-o json`."""
        done = self.cli(*arguments, "-o", "json")
        assert done.stderr == ""
        return json.loads(done.stdout)

    def pending(self) -> str:
        """The code of the one request that waits."""
        (one,) = until(lambda: self.json("approvals", "list"), "a request that waits")
        return str(one["request"]["code"])

    def roles(self) -> list[str]:
        """Session roles on the server."""
        query: LiteralString = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'ostiary_shop_') ORDER BY 1"
        return [name for (name,) in self.server.run(query)]

    def live(self, token: Secret) -> dict[str, Any]:
        """The one session that lives, once those before are over."""

        def alone() -> dict[str, Any] | None:
            found: list[dict[str, Any]] = self.api("GET", "/api/v1/sessions?live=true", token).json()["items"]
            return found[0] if len(found) == 1 else None

        return until(alone, "one session lives")

    def newest(self) -> dict[str, Any]:
        """The newest session, once it is over."""

        def over() -> dict[str, Any] | None:
            found: list[dict[str, Any]] = self.json("sessions", "list", "--limit", "1")
            return found[0] if found and found[0]["state"] == "sealed" else None

        return until(over, "the newest session is sealed")


class Held(threading.Thread):
    """A client whose statement is held: what it was told, and how it ended."""

    def __init__(self, served: Served, statement: str, token: Secret | None = None) -> None:
        super().__init__(daemon=True)
        self.connection = served.connect(token)
        self.connection.add_notice_handler(lambda notice: self.notices.append(notice.message_primary or ""))
        self.notices: list[str] = []
        self.answer = ""
        self._statement = statement
        self.start()

    def run(self) -> None:
        """Send it and wait."""
        try:
            self.answer = str(self.connection.execute(self._statement.encode()).statusmessage)
        except psycopg.Error as error:
            self.answer = f"{error.sqlstate}: {error.diag.message_primary or error}"

    def end(self) -> str:
        """Wait for the end; the connection still works unless it is closed."""
        self.join(20)
        assert not self.is_alive()
        if not self.connection.closed:
            self.connection.close()
        return self.answer


@contextmanager
def running(server: PostgresServer, home: Path, database: str) -> Iterator[Served]:
    """A gateway that serves a database made for it, until the end of the context; it may have ended by itself."""
    prepare(server, database)
    with issuing() as issuer:
        served = Served(home, server, database, issuer)
        served.start()
        try:
            yield served
        finally:
            assert served.process is not None
            if served.process.poll() is None:
                assert served.end() == 0
