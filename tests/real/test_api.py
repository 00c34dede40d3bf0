"""The API of `ostiary serve`: over its own TLS, on real sessions of PostgreSQL 15."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import psycopg
import pytest

from ostiary.core import Secret
from tests.real.servers import PostgresServer
from tests.real.serving import Served, running, until

DATABASE = "apiserved"


@pytest.fixture(scope="module")
def made(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One gateway for the module."""
    with running(postgres15, tmp_path_factory.mktemp("api") / "home", DATABASE) as served:
        yield served
    assert "Traceback" not in served.log.read_text()


@pytest.fixture
def served(made: Served) -> Iterator[Served]:
    """It runs; afterwards no role is left."""
    yield made
    if made.process is not None and made.process.poll() is None:
        until(lambda: made.roles() == [], "every session's role is gone")


@pytest.fixture
def ops(served: Served) -> Secret:
    """The token of somebody who may do everything but approve."""
    return served.token("olga", "ops")


def items(served: Served, path: str, token: Secret) -> list[dict[str, Any]]:
    """A page."""
    answer = served.api("GET", f"/api/v1{path}", token)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_who_calls(served: Served, ops: Secret) -> None:
    """A token of the configured issuer, whole and alive; nothing else."""
    assert served.api("GET", "/healthz", None).json() == {"status": "ok"}
    assert served.api("GET", "/readyz", None).json() == {"status": "ok"}
    assert served.api("GET", "/api/v1/version", ops).json()["node"] == "node-1"
    for token in (None, served.token("olga", "ops", lifetime=-5), Secret(ops.reveal_text()[:-2])):
        answer = served.api("GET", "/api/v1/version", token)
        assert (answer.status_code, answer.json()["status"]) == (401, 401)
    assert served.api("GET", "/api/v1/issuers", served.token()).status_code == 403
    assert [target["name"] for target in items(served, "/targets", ops)] == ["shop"]


def test_a_live_session_is_ended(served: Served, ops: Secret) -> None:
    """At once, amid a statement: the client reads who and why (57P01), the record is sealed, the role is gone."""
    connection = served.connect()
    error: list[psycopg.Error] = []

    def sleep() -> None:
        try:
            connection.execute("SELECT pg_sleep(60)")
        except psycopg.Error as raised:
            error.append(raised)

    thread = threading.Thread(target=sleep, daemon=True)
    thread.start()

    def running() -> bool:
        return bool(served.server.run("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"))

    until(running, "the statement runs")
    live = served.live(ops)
    assert (live["state"], live["target"], live["live"]) == ("running", "shop", True)
    path = f"/api/v1/sessions/{live['session_id']}/kill"
    assert served.api("POST", path, served.token(), {"reason": "x"}).status_code == 403
    ended = served.api("POST", path, ops, {"reason": "wrong database"})
    assert ended.json() == {
        "session_id": live["session_id"], "by": "ci:olga", "reason": "wrong database", "closed": True,
    }  # fmt: skip
    thread.join(10)
    assert not thread.is_alive()
    assert error[0].sqlstate == "57P01"
    assert "this session was ended by ci:olga: wrong database" in str(error[0])
    assert served.roles() == []
    shown = served.api("GET", f"/api/v1/sessions/{live['session_id']}", ops).json()
    assert (shown["state"], shown["live"]) == ("sealed", False)
    assert shown["reason"] == "this session was ended by ci:olga: wrong database"
    assert "dropped" in shown["credential"]
    assert items(served, "/sessions?live=true", ops) == []
    assert served.api("POST", path, ops, {"reason": "again"}).status_code == 409
    verified = served.api("POST", "/api/v1/audit/verify", ops).json()
    assert verified["whole"], verified
    assert served.cli("audit", "verify").returncode == 0


def test_from_the_command_line(served: Served, ops: Secret) -> None:
    """`ostiary sessions kill` needs the API's address, its authority and a token, and no file of the gateway."""
    connection = served.connect()
    live = served.live(ops)
    session = live["session_id"]

    def kill(token: Secret, *more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "ostiary", "sessions", "kill", session, "--reason", "wrong database", *more]
        where = {"OSTIARY_API": f"https://127.0.0.1:{served.api_port}", "OSTIARY_CA": str(served.home / "gateway.crt")}
        environment = {**os.environ, **where, "OSTIARY_TOKEN": token.reveal_text()}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)

    denied = kill(served.token())
    assert denied.returncode == 3
    assert denied.stderr.startswith("error: denied: no policy permits administer on shop")
    untrusted = kill(ops, "--ca", str(served.server.ca))
    assert (untrusted.returncode, "not trusted" in untrusted.stderr) == (1, True)
    assert kill(ops).stdout == f"session {session} has ended\n"
    with pytest.raises(psycopg.Error, match="ended by ci:olga: wrong database"):
        connection.execute("SELECT 1")
    connection.close()
    assert kill(ops).returncode == 4


def test_a_held_statement_is_approved(served: Served) -> None:
    """Through the API, by a member; it runs at once."""
    connection = served.connect()
    answer: list[str | None] = []
    thread = threading.Thread(
        target=lambda: answer.append(connection.execute("CREATE TABLE made (id int)").statusmessage), daemon=True
    )
    thread.start()
    dba = served.token("dana", "dba")
    (held,) = until(lambda: items(served, "/approvals", dba), "a request that waits")
    path = f"/api/v1/approvals/{held['code']}"
    seen = served.api("GET", path, dba)
    decided = served.api("POST", f"{path}/approve", dba, {"reason": "fine"}, **{"If-Match": seen.headers["etag"]})
    assert (decided.status_code, decided.json()["state"]) == (200, "approved")
    thread.join(10)
    assert answer == ["CREATE TABLE"]
    connection.execute("SELECT 1")
    connection.close()


def test_only_tls(served: Served) -> None:
    """Plain text gets no answer of the API; what is no HTTP is closed."""
    with pytest.raises(httpx2.TransportError):
        httpx2.get(f"http://127.0.0.1:{served.api_port}/healthz", timeout=10)
    context = ssl.create_default_context(cafile=str(served.home / "gateway.crt"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", served.api_port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as secured,
    ):
        assert secured.selected_alpn_protocol() == "http/1.1"
        secured.sendall(b"nonsense\r\n\r\n")
        assert secured.recv(100).startswith(b"HTTP/1.1 400 ")


def test_slow_and_large_requests(served: Served) -> None:
    """A client that never says what it wants is closed, one with too many headers is told so."""
    context = ssl.create_default_context(cafile=str(served.home / "gateway.crt"))

    def opened() -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", served.api_port), timeout=20)
        return context.wrap_socket(raw, server_hostname="127.0.0.1")

    with opened() as large:
        large.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000)
        assert large.recv(100).startswith(b"HTTP/1.1 400 ")
    with opened() as silent, opened() as half, socket.create_connection(("127.0.0.1", served.api_port)) as plain:
        plain.settimeout(20)
        half.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        assert silent.recv(100) == b""
        assert half.recv(100) == b""
        assert plain.recv(100) == b""
    assert served.api("GET", "/healthz", None).status_code == 200


def test_it_stops_in_order(served: Served, ops: Secret) -> None:
    """A signal ends it although clients of the API are connected; the audit log is sealed."""
    connection = served.connect()
    live = served.live(ops)
    assert served.api("POST", f"/api/v1/sessions/{live['session_id']}/kill", ops, {"reason": "x"}).status_code == 200
    connection.close()
    context = ssl.create_default_context(cafile=str(served.home / "gateway.crt"))
    with (
        httpx2.Client(verify=context, timeout=20) as client,
        socket.create_connection(("127.0.0.1", served.api_port), timeout=10),
    ):
        assert client.get(f"https://127.0.0.1:{served.api_port}/healthz").status_code == 200
        assert served.end(signal.SIGTERM) == 0
    verdicts = json.loads(served.cli("audit", "verify", "-o", "json").stdout)
    assert {verdict["state"] for verdict in verdicts} == {"intact"}
    assert "audit" in {verdict["type"] for verdict in verdicts}
