"""`ostiary serve` on PostgreSQL 15, with ordinary clients and the commands people type."""

import json
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ostiary.core import Secret
from tests.real.drivers import wire
from tests.real.servers import PostgresServer
from tests.real.serving import ADMIN_PASSWORD, POLICY, Held, Served, running, until

DATABASE = "served"


@pytest.fixture(scope="module")
def made(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One gateway for the module; tests that end it start it again."""
    with running(postgres15, tmp_path_factory.mktemp("served") / "home", DATABASE) as served:
        yield served


@pytest.fixture
def served(made: Served) -> Iterator[Served]:
    """It runs, with the usual policy; afterwards it has told nobody a secret, no role is left, and it had no fault."""
    yield made
    assert made.process is not None
    runs = made.process.poll() is None
    if (made.home / "policies" / "served.cedar").read_text() != POLICY:
        loaded = len(made.events("policies reloaded"))
        made.policy(POLICY)
        if runs:
            until(lambda: len(made.events("policies reloaded")) > loaded, "the usual policy is back")
    if runs:
        until(lambda: made.roles() == [], "every session's role is gone")
    said = made.log.read_text()
    assert "Traceback" not in said
    assert made.events("session_failed") == []
    assert ADMIN_PASSWORD not in said
    assert ADMIN_PASSWORD not in made.server.logged()


def refused(served: Served, **more: Any) -> str:
    """How a connection that must not be had is refused."""
    with pytest.raises(psycopg.OperationalError) as caught:
        served.connect(**more)
    return str(caught.value)


# ---------------------------------------------------------------- who gets in


def test_a_token_is_the_password(served: Served) -> None:
    """Rows come masked; the role is the session's own and gone afterwards; the recording says all of it."""
    with served.connect() as connection:
        (role,) = connection.execute("SELECT current_user").fetchone() or ("",)
        assert served.roles() == [role]
        rows = connection.execute("SELECT id, email FROM people WHERE id <= 2 ORDER BY id").fetchall()
    assert [number for number, _ in rows] == [1, 2]
    assert not any("@" in email for _, email in rows)
    session = served.newest()
    assert (session["principal"], session["target"], session["reason"]) == ("ci:job", "shop", "the client said goodbye")
    detail = served.json("sessions", "show", session["session_id"])
    assert detail["ended"]["credential"] == f"role {role} dropped, 0 backends left"
    assert served.roles() == []


def test_a_token_by_oauthbearer(served: Served) -> None:
    """SASL, as libpq 18 speaks it, over a raw connection."""
    context = ssl.create_default_context(cafile=str(served.home / "gateway.crt"))
    with wire.WireClient("127.0.0.1", served.port) as client:
        client.send(wire.SSL_REQUEST)
        assert client.exactly(1) == b"S"
        client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
        client.send(wire.startup("oauthbearer", "shop"))
        (offer,) = client.until(b"R")
        assert offer[9:] == b"OAUTHBEARER\0\0"
        first = b"n,,\x01auth=Bearer " + served.token().reveal() + b"\x01\x01"
        client.send(wire.message(b"p", b"OAUTHBEARER\0" + len(first).to_bytes(4, "big") + first))
        assert client.until(b"Z")[0] == b"R\0\0\0\x08\0\0\0\0"
        client.send(wire.query("SELECT 7"))
        assert client.until(b"Z")[1].endswith(b"7")
        client.send(wire.TERMINATE)


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"lifetime": -60.0}, "token refused"),
        ({"aud": "somebody-else"}, "token refused"),
        ({"iss": "http://127.0.0.1:1"}, "token refused: its issuer (iss) is not one of those configured here"),
        ({"groups": ["nobody"]}, "denied"),
    ],
)
def test_wrong_tokens(served: Served, claims: dict[str, Any], sentence: str) -> None:
    """A sentence says which rule; nothing of the token comes back, and no role was made."""
    token = served.issuer.mint("job", "ostiary-tests", **{"groups": ["app"], **claims})
    told = refused(served, token=token)
    assert sentence in told
    assert token.reveal_text()[:40] not in told
    assert served.roles() == []


def test_no_token_at_all(served: Served) -> None:
    """Anything that is no JWT."""
    assert "token refused: it is not a signed JWT" in refused(served, token=Secret("hunter2"))
    assert "hunter2" not in served.log.read_text()


def test_unknown_target(served: Served) -> None:
    """The database must be a target's name."""
    assert 'no target "nope" is known here' in refused(served, dbname="nope")


def test_without_tls_no_token_is_asked_for(served: Served) -> None:
    """The refusal comes before the client could send it."""
    with wire.WireClient("127.0.0.1", served.port) as client:
        client.send(wire.startup("x", "shop"))
        (error,) = client.rest()
    assert error[:1] == b"E"
    assert b"a token is not taken without TLS" in error


def test_a_session_ends_with_its_token(served: Served) -> None:
    """In the middle of a statement, with a sentence; its backend and its role are gone."""
    with served.connect(served.token(lifetime=3.0)) as connection:
        (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
        with pytest.raises(psycopg.OperationalError, match="the session's token has ended"):
            connection.execute("SELECT pg_sleep(30)")
    until(lambda: served.roles() == [], "the role is gone")
    assert served.server.run("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)) == []


# ---------------------------------------------------------------- held commands


def test_approve(served: Served) -> None:
    """It waits, is shown exactly, runs once it is approved by somebody else, and the record names who."""
    held = Held(served, "CREATE TABLE public.approved (a int)")
    code = served.pending()
    shown = served.json("approvals", "show", code)["request"]
    assert shown["text"] == "CREATE TABLE public.approved (a int)"
    assert (shown["subject"], shown["target"], shown["rules"]) == ("job", "shop", ["dba-approves"])
    own = served.cli("approvals", "approve", code, token=served.token())
    assert (own.returncode, "is your own" in own.stderr) == (3, True)
    stranger = served.cli("approvals", "approve", code, token=served.token("eve", "app"))
    assert (stranger.returncode, "is not a member of dba" in stranger.stderr) == (3, True)
    assert served.server.run("SELECT to_regclass('public.approved')", database=DATABASE) == [(None,)]
    done = served.cli("approvals", "approve", code, "--reason", "looks right", token=served.token("ada", "dba"))
    assert (done.returncode, done.stdout) == (0, f"request {code}: approved\n")
    assert held.end() == "CREATE TABLE"
    assert held.notices[0].startswith(f"held for approval by dba (request {code}, expires in 10 min)")
    again = served.cli("approvals", "approve", code, token=served.token("ada", "dba"))
    assert (again.returncode, "was approved by ci:ada" in again.stderr) == (3, True)
    action = served.json("sessions", "show", served.newest()["session_id"])["actions"][0]
    assert (action["approval_id"], action["approved_by"], action["outcome"]) == (code, ["ci:ada"], "CREATE TABLE")


def test_deny(served: Served) -> None:
    """The client learns who and why, and goes on."""
    held = Held(served, "CREATE TABLE public.denied (a int)")
    code = served.pending()
    done = served.cli("approvals", "deny", code, "--reason", "not today", token=served.token("ada", "dba"))
    assert (done.returncode, done.stdout) == (0, f"request {code}: denied\n")
    held.join(20)
    assert held.answer == f"42501: request {code} was denied by ci:ada: not today"
    assert held.connection.execute("SELECT 1").fetchone() == (1,)
    held.end()
    assert served.server.run("SELECT to_regclass('public.denied')", database=DATABASE) == [(None,)]


def test_cancel_while_it_runs(served: Served) -> None:
    """The request reaches the target, over TLS as the session does; the connection goes on."""
    running = Held(served, "SELECT pg_sleep(15)")
    asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    until(lambda: served.server.run(asleep), "the statement runs")
    running.connection.cancel_safe()
    running.join(10)
    assert running.answer.startswith("57014: ")
    assert running.connection.execute("SELECT 1").fetchone() == (1,)
    running.end()


def test_cancel_while_held(served: Served) -> None:
    """An ordinary cancel withdraws the request; the connection goes on."""
    held = Held(served, "CREATE TABLE public.cancelled (a int)")
    code = served.pending()
    held.connection.cancel_safe()
    held.join(20)
    assert held.answer.startswith("57014: ")
    assert held.connection.execute("SELECT 1").fetchone() == (1,)
    held.end()
    late = served.cli("approvals", "approve", code, token=served.token("ada", "dba"))
    assert (late.returncode, "was withdrawn" in late.stderr) == (3, True)


def test_client_gone_while_held(served: Served) -> None:
    """Nobody waits: the request is withdrawn, the role is gone, an approval comes too late."""
    held = Held(served, "CREATE TABLE public.gone (a int)")
    code = served.pending()
    # Cut below the driver and below TLS.
    with socket.socket(fileno=socket.dup(held.connection.fileno())) as connection:
        connection.shutdown(socket.SHUT_RDWR)
    held.end()
    until(lambda: served.json("approvals", "show", code)["state"] == "withdrawn", "the request is withdrawn")
    late = served.cli("approvals", "approve", code, token=served.token("ada", "dba"))
    assert late.returncode == 3
    assert served.server.run("SELECT to_regclass('public.gone')", database=DATABASE) == [(None,)]


def test_expire(served: Served, tmp_path: Path) -> None:
    """Nobody decides in time: refused, and the connection goes on."""
    hasty = Served(tmp_path / "home", served.server, DATABASE, served.issuer, timeout="1s")
    hasty.start()
    try:
        with hasty.connect() as connection:
            with pytest.raises(psycopg.Error, match="was not approved in time") as caught:
                connection.execute("CREATE TABLE public.expired (a int)")
            assert caught.value.sqlstate == "42501"
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        assert hasty.end() == 0


# ---------------------------------------------------------------- the target's estimate

MANY = "when { context has rows_estimate && context.rows_estimate > 1000 };"
LARGE = f'@id("large") forbid (principal, action in [Action::"update", Action::"insert"], resource) {MANY}'
LARGE_WAITS = f'@id("large-waits") @approval("dba") forbid (principal, action == Action::"update", resource) {MANY}'


@pytest.fixture
def ledger(served: Served) -> Iterator[Served]:
    """A table of 5000 rows that the planner knows."""
    with psycopg.connect(served.server.dsn(DATABASE), autocommit=True) as connection:
        connection.execute("SET ROLE served_rw")
        connection.execute("CREATE TABLE ledger AS SELECT n AS id, 0 AS sum FROM generate_series(1, 5000) n")
        connection.execute("ALTER TABLE ledger ADD PRIMARY KEY (id)")
        connection.execute("ANALYZE ledger")
        # Made past the gateway: one that has just read the catalogue would not know it for a minute.
        assert served.end() == 0
        served.start()
        yield served
        connection.execute("DROP TABLE ledger")


def sums(served: Served) -> int:
    """What all statements together have added."""
    ((total,),) = served.server.run("SELECT sum(sum) FROM ledger", database=DATABASE)
    return int(total)


def ruled_by(served: Served, rule: str) -> None:
    """Put one more rule in force."""
    loaded = len(served.events("policies reloaded"))
    served.policy(POLICY + rule)
    until(lambda: len(served.events("policies reloaded")) > loaded, "the policy is loaded")


def test_an_estimate_denies(ledger: Served) -> None:
    """What would change much is denied before it runs, however it is sent; what changes little runs."""
    ruled_by(ledger, LARGE)
    large = [
        ("UPDATE ledger SET sum = sum + 1", ()),
        ("UPDATE ledger SET sum = sum + %s WHERE id > %s", (1, 7)),
        ("WITH u AS (UPDATE ledger SET sum = sum + 1 RETURNING id) SELECT 1", ()),
        ("INSERT INTO ledger SELECT id + 10000 + %s, 1 FROM ledger", (0,)),
        ("/* */ -- UPDATE\nUPDATE ledger SET sum = 1 FROM (SELECT 1) s", ()),
    ]
    with ledger.connect() as connection:
        for text, values in large * 2:
            with pytest.raises(psycopg.Error, match='denied by policy "large"') as caught:
                connection.execute(text.encode(), values, prepare=True)
            assert caught.value.sqlstate == "42501"
        assert sums(ledger) == 0
        with connection.transaction():
            for number in (1, 2, 3):
                connection.execute("UPDATE ledger SET sum = sum + 1 WHERE id = %s", (number,), prepare=True)
            connection.execute("UPDATE ledger SET sum = sum + 1 WHERE id = 4")
            connection.execute("INSERT INTO ledger VALUES (9999, 1)")
        with connection.pipeline():
            read = connection.execute("SELECT id FROM people WHERE id = 1")
            for number in (5, 6):
                connection.execute("UPDATE ledger SET sum = sum + 1 WHERE id = %s", (number,))
            assert read.fetchone() == (1,)
    assert sums(ledger) == 7
    action = ledger.json("sessions", "show", ledger.newest()["session_id"])["actions"][0]
    assert action["rules"] == ["large"]


def test_no_estimate_is_a_refusal(ledger: Served) -> None:
    """What the planner can't be asked about is denied, and the client learns what to do."""
    ruled_by(ledger, LARGE)
    with ledger.connect() as connection:
        for text in (
            "UPDATE ledger SET sum = 1 WHERE id = 1; UPDATE ledger SET sum = 1 WHERE id = 2",
            "UPDATE ledger SET sum = 1 WHERE id = 1 AND pg_try_advisory_lock(1)",
            "COPY ledger FROM STDIN",
            "EXPLAIN ANALYZE UPDATE ledger SET sum = 1",
        ):
            with pytest.raises(
                psycopg.Error, match="it depends on the target's estimate of rows, and there is"
            ) as caught:
                connection.execute(text.encode())
            assert "send it as one plain statement" in (caught.value.diag.message_hint or "")
        with pytest.raises(psycopg.errors.UndefinedColumn):
            connection.execute("UPDATE ledger SET nothing = 1")
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert sums(ledger) == 0


def test_an_estimate_holds(ledger: Served) -> None:
    """A large change waits for a person, who sees how large; a small one does not."""
    ruled_by(ledger, LARGE_WAITS)
    with ledger.connect() as connection:
        connection.execute("UPDATE ledger SET sum = 1 WHERE id = 1")
    held = Held(ledger, "UPDATE ledger SET sum = sum + 1")
    code = ledger.pending()
    assert ledger.json("approvals", "show", code)["request"]["rows_estimate"] == 5000
    assert sums(ledger) == 1
    ledger.cli("approvals", "approve", code, token=ledger.token("ada", "dba"))
    assert held.end() == "UPDATE 5000"
    assert sums(ledger) == 5001


# ---------------------------------------------------------------- while it runs


def test_an_edited_policy_rules_the_next_statement(served: Served) -> None:
    """Of a session that is open; a file that can't be used changes nothing, and is said."""
    with served.connect() as connection:
        connection.execute("SELECT id FROM people")
        loaded = len(served.events("policies reloaded"))
        served.policy(POLICY + '@id("closed") forbid (principal, action == Action::"read", resource);')
        until(lambda: len(served.events("policies reloaded")) > loaded, "the policy is loaded")
        with pytest.raises(psycopg.Error, match='denied by policy "closed"'):
            connection.execute("SELECT id FROM people")
        rejected = len(served.events("policies not reloaded; those before stay in force"))
        served.policy("permit (everybody);")
        until(lambda: len(served.events("policies not reloaded; those before stay in force")) > rejected, "it is said")
        with pytest.raises(psycopg.Error, match='denied by policy "closed"'):
            connection.execute("SELECT id FROM people")


def test_hangup_reloads(served: Served) -> None:
    """SIGHUP reads the policies again, changed or not."""
    loaded = len(served.events("policies reloaded"))
    assert served.process is not None
    served.process.send_signal(signal.SIGHUP)
    until(lambda: len(served.events("policies reloaded")) > loaded, "the policies are loaded")


def test_what_it_asks_of_the_system(served: Served) -> None:
    """All the files it may have, and no core dump with secrets in it."""
    assert served.process is not None
    limits = {line[:26].strip(): line[26:].split()[:2] for line in _limits(served.process.pid)}
    soft, hard = limits["Max open files"]
    assert soft == hard
    assert limits["Max core file size"] == ["0", "0"]


def _limits(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/limits").read_text().splitlines()


def test_a_port_in_use_is_a_sentence(served: Served, tmp_path: Path) -> None:
    """No traceback: the address, the reason, the next step; exit code 1."""
    other = Served(tmp_path / "home", served.server, DATABASE, served.issuer)
    other.config.write_text(other.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{served.port}"))
    done = other.cli("serve")
    assert done.returncode == 1
    why = "Address already in use; another address goes into server.listen"
    assert done.stderr == f"error: 127.0.0.1:{served.port} can't be listened on: {why}\n"


def test_it_does_not_start_with_what_check_finds_wrong(served: Served, tmp_path: Path) -> None:
    """File and line; exit code 2."""
    other = Served(tmp_path / "home", served.server, DATABASE, served.issuer)
    other.policy("permit (everybody);")
    done = other.cli("serve")
    assert done.returncode == 2
    assert done.stderr.startswith(f"{other.home}/policies/served.cedar:1: not a Cedar policy")


# ---------------------------------------------------------------- how it ends


def test_terminated_with_open_sessions(served: Served) -> None:
    """Idle, at work, in a transaction, held: each is told, each role is gone, each recording sealed; exit code 0."""
    idle = served.connect()
    working = Held(served, "SELECT pg_sleep(60)")
    in_transaction = served.connect(autocommit=False)
    in_transaction.execute("INSERT INTO people VALUES (99, 'x')")
    held = Held(served, "CREATE TABLE public.never (a int)")
    code = served.pending()
    assert len(served.roles()) == 4
    try:
        assert served.end() == 0
        assert served.roles() == []
        assert "the gateway is stopping" in working.end()
        assert "the gateway is stopping" in held.end()
        for connection in (idle, in_transaction):
            with pytest.raises(psycopg.OperationalError, match="the gateway is stopping"):
                connection.execute("SELECT 1")
        assert served.server.run("SELECT 1 FROM people WHERE id = 99", database=DATABASE) == []
        assert served.json("approvals", "show", code)["state"] == "withdrawn"
        newest = served.json("sessions", "list", "--limit", "4")
        assert {(s["state"], s["reason"]) for s in newest} == {("sealed", "the gateway is stopping")}
        assert served.events("stopped")
        assert {verdict["state"] for verdict in served.json("audit", "verify")} <= {"intact", "unsealed"}
    finally:
        served.start()


def test_killed(served: Served) -> None:
    """Clients are cut off; a restart takes back what is over, and says which recordings have no seal."""
    with served.connect() as connection:
        (role,) = connection.execute("SELECT current_user").fetchone() or ("",)
        assert served.end(signal.SIGKILL) == -signal.SIGKILL
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert served.roles() == [role]
    # The role's own end, and the grace after it, without waiting for them.
    served.server.run(f"ALTER ROLE {role} VALID UNTIL '2001-01-01'")
    served.start()
    dropped = until(lambda: served.events("leftover dropped"), "the restarted gateway swept the role")
    assert (dropped[-1]["username"], served.roles()) == (role, [])
    newest, *_ = served.json("sessions", "list", "--limit", "1")
    assert newest["state"] == "unsealed"


def test_every_recording_verifies(served: Served) -> None:
    """Of whatever was served here: none was changed; what was killed has no seal, which is said and is no tampering."""
    with served.connect() as connection:
        connection.execute("SELECT email FROM people")
    served.newest()
    verified = served.cli("audit", "verify")
    assert verified.returncode == 0, verified.stdout
    states = {verdict["state"] for verdict in served.json("audit", "verify")}
    assert states <= {"intact", "running", "unsealed"}
    (path,) = [Path(s["path"]) for s in served.json("sessions", "list", "--limit", "1")]
    content = path.read_bytes()
    assert content
    path.write_bytes(content.replace(b"ci:job", b"ci:boj", 1))
    try:
        tampered = served.cli("audit", "verify")
    finally:
        path.write_bytes(content)
    assert tampered.returncode == 5
    assert path.name in tampered.stdout
    for recording in (served.home / "recordings").rglob("*.rec"):
        assert ADMIN_PASSWORD.encode() not in recording.read_bytes()
        assert b"@example.org" not in recording.read_bytes(), json.dumps(str(recording))
