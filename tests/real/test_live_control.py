"""What takes effect on open connections, within five seconds, with real clients on a real server."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ostiary.core import Secret
from tests.real.servers import PostgresServer
from tests.real.serving import POLICY, Held, Served, issuing, prepare, until

Connection = psycopg.Connection[tuple[Any, ...]]
DATABASE = "live_control"
URL = "https://gw.example"
SECONDS = 5.0
#: Closed after each test.
_OPEN: list[Connection] = []


@pytest.fixture(scope="module")
def made(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One gateway."""
    prepare(postgres15, DATABASE)
    postgres15.run("CREATE TABLE numbers AS SELECT n AS id FROM generate_series(1, 1000000) n", database=DATABASE)
    postgres15.run("GRANT SELECT ON numbers TO served_rw", database=DATABASE)
    with issuing() as issuer:
        served = Served(tmp_path_factory.mktemp("live") / "home", postgres15, DATABASE, issuer)
        served.config.write_text(served.config.read_text().replace("server:\n", f"server:\n  url: {URL}\n", 1))
        served.start()
        try:
            yield served
        finally:
            assert served.end() == 0
            assert "Traceback" not in served.log.read_text()


@pytest.fixture
def served(made: Served) -> Iterator[Served]:
    """As it was configured, again and again."""
    original = made.config.read_text()
    yield made
    while _OPEN:
        _OPEN.pop().close()
    made.config.write_text(original)
    made.policy(POLICY)
    for _ in range(2):
        # The first may have been on its way before all was written.
        adopted = len(made.events("configuration adopted"))
        assert made.process is not None
        made.process.send_signal(signal.SIGHUP)
        until(lambda: len(made.events("configuration adopted")) > adopted, "it is as it was")  # noqa: B023
    until(lambda: made.roles() == [], "every session's role is gone")
    assert made.events("session_failed") == []


def edit(served: Served, *changes: tuple[str, str]) -> None:
    """Change the configuration, in one step."""
    text = served.config.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    draft = served.home / "draft.yaml"
    draft.write_text(text)
    draft.replace(served.config)


def connect(served: Served, token: Secret | None = None, **more: Any) -> Connection:
    """A connection that the test need not close."""
    _OPEN.append(served.connect(token, **more))
    return _OPEN[-1]


def opened(served: Served, token: Secret | None = None) -> list[Connection]:
    """Connections, at least one of them in every process that serves."""
    return [connect(served, token)]


def ending(connections: list[Connection]) -> set[str]:
    """How sessions end, all of them within five seconds."""
    end = time.monotonic() + SECONDS
    told = set()
    for connection in connections:

        def ended(connection: Connection = connection) -> str:
            try:
                connection.execute("SELECT 1")
            except psycopg.Error as error:
                return str(error) if connection.broken else ""
            return ""

        told.add(until(ended, "the session ends", max(end - time.monotonic(), 0.1)).strip())
    return told


def until_masked(
    connection: Connection, wanted: str, statement: bytes = b"SELECT email FROM people WHERE id = 1"
) -> None:
    """The same connection's next rows look like that within five seconds."""

    def looks() -> bool:
        ((value,),) = connection.execute(statement, prepare=True).fetchall()
        return bool(value == wanted)

    until(looks, f"values are shown as {wanted}", SECONDS)


# ---------------------------------------------------------------- sessions that end


def test_policy_takes_connect_away(served: Served) -> None:
    """Those who may not connect any more are told by which rule."""
    connections, other = opened(served), connect(served, served.token("other"))
    rule = '@id("no-more") forbid (principal == Workload::"ci:job", action == Action::"connect", resource);'
    served.policy(f"{POLICY}{rule}\n")
    (told,) = ending(connections)
    assert 'denied by policy "no-more": connect to shop' in told
    assert other.execute("SELECT 1").fetchone() == (1,)


def test_policy_takes_a_command_away(served: Served) -> None:
    """The next command is refused, and the connection goes on."""
    connections = opened(served)
    served.policy(f'{POLICY}@id("none") forbid (principal, action == Action::"read", resource);\n')
    for each in connections:

        def refused(each: Connection = each) -> bool:
            try:
                each.execute("SELECT email FROM people")
            except psycopg.errors.InsufficientPrivilege as error:
                return 'denied by policy "none"' in str(error)
            return False

        until(refused, "the rule is in force", SECONDS)
        assert each.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("member_of: [served_rw]", "member_of: [served_rw, pg_monitor]"), "target shop was changed"),
        (("  - name: shop", "  - name: store"), "target shop was removed"),
        (("tls: {mode: verify-full,", "tls: {mode: verify-ca,"), "target shop was changed"),
        (("leeway: 0s", "leeway: 1s"), 'issuer "ci" was changed or removed'),
    ],
)
def test_what_a_session_stands_on(served: Served, change: tuple[str, str], sentence: str) -> None:
    """A target or an issuer that is not what it was: its sessions end, and say so; their roles go."""
    connections = opened(served)
    more = [("{target: shop,", "{target: store,")] if "removed" in sentence and "target" in sentence else []
    edit(served, change, *more)
    (told,) = ending(connections)
    assert f"{sentence}; this session ends" in told
    assert "connect again" in told
    until(lambda: served.roles() == [], "the roles are gone")


def test_a_target_s_labels(served: Served) -> None:
    """Rights are those at the target as it is labelled now; who may not connect there is sent away."""
    served.policy(
        POLICY + '@id("not-there") forbid (principal, action == Action::"connect", resource) '
        'when { resource in Environment::"production" };\n'
    )
    connections = opened(served)
    edit(served, ("    protocol: postgres\n", "    protocol: postgres\n    labels: {environment: production}\n"))
    (told,) = ending(connections)
    assert 'denied by policy "not-there"' in told


# ---------------------------------------------------------------- masking


def test_a_transform(served: Served) -> None:
    """Prepared statements, and rows of results that were seen before, are masked as masking says now."""
    connections = opened(served)
    for each in connections:
        ((before,),) = each.execute("SELECT email FROM people WHERE id = 1", prepare=True).fetchall()
        assert "@" not in before
    edit(served, ("{transform: hash, text_only: true}", "{transform: redact}"))
    for each in connections:
        until_masked(each, "[redacted]")


def test_a_classification_amid_a_result(served: Served) -> None:
    """Rows that nothing masked, on their way past the gate: behind the change they are masked, also of this result."""
    with connect(served).cursor() as cursor:
        rows = iter(cursor.stream("SELECT id FROM numbers"))
        assert next(rows) == (1,)
        adopted = len(served.events("configuration adopted"))
        entry = "  - {target: shop, object: public.numbers.id, class: number}\n"
        edit(served, ("classification:\n", f"classification:\n{entry}"))
        until(lambda: len(served.events("configuration adopted")) > adopted, "the class is in force", SECONDS)
        seen = [value for (value,) in rows]
    assert len(seen) == 999_999
    assert seen[-1] is None
    # Once one is masked, all that follow are.
    assert not any(seen[seen.index(None) :])


# ---------------------------------------------------------------- what must not be adopted


def test_half_a_file_weakens_nothing(served: Served) -> None:
    """A file that is being written is valid for a moment, without its classifications: that moment changes nothing."""
    connection = connect(served)
    text = served.config.read_text()
    adopted = len(served.events("configuration adopted"))
    half = text[: text.index("classification:")]
    for _ in range(40):
        # Each write is an unfinished one; the file keeps moving, for longer than two looks.
        served.config.write_text(half)
        ((value,),) = connection.execute("SELECT email FROM people WHERE id = 1").fetchall()
        assert "@" not in value
        time.sleep(0.05)
        half += "#"
    served.config.write_text(text)
    until(lambda: len(served.events("configuration adopted")) > adopted, "the whole file is adopted", SECONDS)
    ((value,),) = connection.execute("SELECT email FROM people WHERE id = 1").fetchall()
    assert "@" not in value


def test_what_can_not_be_used(served: Served) -> None:
    """What was in force stays so, sessions go on, the log says why; policies that are right rule all the same."""
    connection = connect(served)
    edit(served, ("type: postgres-role", "type: no-such-kind"))
    until(lambda: served.events("configuration not adopted; the one before stays in force"), "it is said", SECONDS)
    (problem,) = served.events("configuration not adopted; the one before stays in force")[-1]["problems"]
    assert "credential.type: must be" in problem
    health = served.api("GET", "/api/v1/health", served.token("dana", "ops")).json()
    assert health == {"status": "not-adopted", "problems": [problem]}
    assert connection.execute("SELECT count(*) FROM people").fetchone() == (10,)
    served.policy(f'{POLICY}@id("none") forbid (principal, action == Action::"read", resource);\n')

    def refused() -> bool:
        try:
            connection.execute("SELECT email FROM people")
        except psycopg.errors.InsufficientPrivilege:
            return True
        return False

    until(refused, "the rule is in force", SECONDS)


def test_what_needs_a_restart_is_said(served: Served) -> None:
    """Everything else of the same edit is adopted."""
    adopted = len(served.events("configuration adopted"))
    edit(served, ("server:\n", "server:\n  node: another\n"))
    until(lambda: len(served.events("configuration adopted")) > adopted, "it is adopted", SECONDS)
    (said,) = served.events("some changes take effect when the gateway is started again")
    assert said["settings"] == ["node"]


# ---------------------------------------------------------------- held statements


def held(served: Served, name: str, token: Secret | None = None) -> tuple[Held, str]:
    """A statement that waits for a person, and its code."""
    waiting = Held(served, f"CREATE TABLE public.{name} (a int)", token)
    return waiting, served.pending()


def approve(served: Served, code: str) -> str:
    """What whoever approves it is told."""
    done = served.cli("approvals", "approve", code, token=served.token("ada", "dba"))
    return done.stdout + done.stderr


def assert_never_made(served: Served, name: str) -> None:
    """Nothing went to the target."""
    assert served.server.run(f"SELECT to_regclass('public.{name}')", database=DATABASE) == [(None,)]


def test_held_and_connect_taken_away(served: Served) -> None:
    """The session ends, the request is withdrawn."""
    waiting, code = held(served, "held_connect")
    rule = '@id("no-more") forbid (principal == Workload::"ci:job", action == Action::"connect", resource);'
    served.policy(f"{POLICY}{rule}\n")
    assert 'denied by policy "no-more"' in waiting.end()
    assert "was withdrawn" in until(lambda: approve(served, code), "an answer")
    assert_never_made(served, "held_connect")


def test_held_and_denied_meanwhile(served: Served) -> None:
    """Approved, though policy denies by now: refused, and the connection goes on."""
    waiting, code = held(served, "held_denied")
    loaded = len(served.events("policies reloaded"))
    served.policy(f'{POLICY}@id("freeze") forbid (principal, action == Action::"define", resource);\n')
    until(lambda: len(served.events("policies reloaded")) > loaded, "the rule is in force")
    assert "approved" in approve(served, code)
    waiting.join(20)
    assert 'denied by policy "freeze"' in waiting.answer
    assert waiting.connection.execute("SELECT 1").fetchone() == (1,)
    waiting.end()
    assert_never_made(served, "held_denied")


def test_held_and_the_target_removed(served: Served) -> None:
    """The session ends, the request is withdrawn."""
    waiting, code = held(served, "held_removed")
    edit(served, ("  - name: shop", "  - name: store"), ("{target: shop,", "{target: store,"))
    assert "target shop was removed" in waiting.end()
    assert "was withdrawn" in until(lambda: approve(served, code), "an answer")
    assert_never_made(served, "held_removed")


def test_held_and_the_account_disabled(served: Served) -> None:
    """Approved right after its account was disabled: refused, whichever is noticed first."""
    secret = served.json("service-accounts", "create", "holding", "--owner", "tests", "--group", "app")["secret"]
    waiting, code = held(served, "held_account", Secret(secret))
    assert served.cli("service-accounts", "disable", "holding").returncode == 0
    approve(served, code)
    assert 'service account "holding" is disabled' in waiting.end()
    assert_never_made(served, "held_account")


# ---------------------------------------------------------------- other processes


def test_a_session_of_another_process_is_ended(served: Served, tmp_path: Path) -> None:
    """Seen through the API of a gateway that shares its state, and ended there, within five seconds."""
    other = Served(tmp_path / "home", served.server, DATABASE, served.issuer)
    state = "  state: sqlite:state.db\n"
    shared = (
        f"  state: sqlite:///{served.home}/state.db\n  recordings: file://{served.home}/recordings\n"
        f"  recording_key: {served.home}/recording.key\n  node: another\n"
    )
    edit(other, (state, shared))
    other.start()
    ops = served.token("dana", "ops")
    try:
        with other.connect(sslrootcert=str(served.home / "gateway.crt")) as connection:

            def seen() -> list[str]:
                listed = served.api("GET", "/api/v1/sessions?live=true", ops).json()
                return [each["session_id"] for each in listed["items"]]

            (session_id,) = until(seen, "the session is seen", SECONDS)
            assert served.api("GET", f"/api/v1/sessions/{session_id}", ops).json()["live"] is True
            path = f"/api/v1/sessions/{session_id}/kill"
            denied = served.api("POST", path, served.token(), {"reason": "no right"})
            assert denied.status_code == 403
            ended = served.api("POST", path, ops, {"reason": "wrong database"})
            assert (ended.status_code, ended.json()["closed"]) == (200, True)
            with pytest.raises(psycopg.OperationalError, match="was ended by ci:dana: wrong database"):
                connection.execute("SELECT 1")
            assert served.api("POST", path, ops, {"reason": "again"}).status_code == 409
            assert seen() == []
    finally:
        assert other.end() == 0
