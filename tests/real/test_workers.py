"""`serve --workers 3` with real clients on a real server: what takes effect does so in each worker."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import psycopg
import pytest

from ostiary.core import Secret
from ostiary.protocols.postgres.keys import worker_of
from tests.real.servers import PostgresServer
from tests.real.serving import POLICY, Held, Served, issuing, prepare, until
from tests.real.test_live_control import SECONDS, Connection, edit, ending, until_masked

DATABASE = "workers"
URL = "https://gw.example"
WORKERS = {1, 2, 3}
#: Closed after each test.
_OPEN: list[Connection] = []


@pytest.fixture(scope="module")
def made(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One gateway; no process of it is left when it has stopped."""
    prepare(postgres15, DATABASE)
    with issuing() as issuer:
        served = Served(tmp_path_factory.mktemp("workers") / "home", postgres15, DATABASE, issuer)
        served.arguments = ("--workers", "3")
        served.config.write_text(served.config.read_text().replace("server:\n", f"server:\n  url: {URL}\n", 1))
        served.start()
        assert served.events("serving")[-1]["workers"] == 3
        try:
            yield served
        finally:
            children = processes(served)
            assert len(children) == 3
            assert served.end() == 0
            assert [each for each in children if each.is_running()] == []
            assert "Traceback" not in served.log.read_text()


@pytest.fixture
def served(made: Served) -> Iterator[Served]:
    """As it was configured, in every process, again and again."""
    original = made.config.read_text()
    yield made
    while _OPEN:
        _OPEN.pop().close()
    made.config.write_text(original)
    made.policy(POLICY)
    for _ in range(2):
        before = adopted(made)
        assert made.process is not None
        made.process.send_signal(signal.SIGHUP)
        until(lambda: all(adopted(made)[who] > before[who] for who in before), "it is as it was")  # noqa: B023
    until(lambda: made.roles() == [], "every session's role is gone")
    assert made.events("session_failed") == []


def adopted(served: Served) -> dict[int, int]:
    """How many configurations each worker, and what is none (0), has adopted."""
    told = [event.get("worker", 0) for event in served.events("configuration adopted")]
    return {who: told.count(who) for who in (0, *WORKERS)}


def processes(served: Served) -> list[psutil.Process]:
    """The workers."""
    assert served.process is not None
    return psutil.Process(served.process.pid).children()


def worker(connection: Connection) -> int:
    """Which has this session: its cancel key says so."""
    return worker_of(connection.info.backend_pid.to_bytes(4, "big"))


def opened(served: Served, token: Secret | None = None) -> dict[int, Connection]:
    """A connection in each worker."""
    found: dict[int, Connection] = {}

    def everywhere() -> bool:
        connection = served.connect(token)
        _OPEN.append(connection)
        if found.setdefault(worker(connection), connection) is not connection:
            connection.close()
        return set(found) == WORKERS

    until(everywhere, "every worker has a session", 40)
    return found


def post(served: Served, path: str, form: dict[str, str], client: tuple[str, str]) -> httpx2.Response:
    """To the gateway as an issuer."""
    import ssl

    context = ssl.create_default_context(cafile=str(served.home / "gateway.crt"))
    url = f"https://127.0.0.1:{served.api_port}{path}"
    return httpx2.post(url, data=form, auth=client, verify=context, timeout=20)


def account(served: Served, name: str) -> Secret:
    """A service account's secret."""
    return Secret(served.json("service-accounts", "create", name, "--owner", "tests", "--group", "app")["secret"])


# ---------------------------------------------------------------- sessions in every worker


def test_policy_is_everywhere(served: Served) -> None:
    """Who may not connect any more is sent away in each."""
    connections = opened(served)
    rule = '@id("no-more") forbid (principal == Workload::"ci:job", action == Action::"connect", resource);'
    served.policy(f"{POLICY}{rule}\n")
    (told,) = ending(list(connections.values()))
    assert 'denied by policy "no-more"' in told


def test_a_class_is_everywhere(served: Served) -> None:
    """Rows are masked as masking says now, in each."""
    connections = opened(served)
    edit(served, ("{transform: hash, text_only: true}", "{transform: redact}"))
    for each in connections.values():
        until_masked(each, "[redacted]")


def test_a_target_is_gone_everywhere(served: Served) -> None:
    """Its sessions end in each."""
    connections = opened(served)
    edit(served, ("  - name: shop", "  - name: store"), ("{target: shop,", "{target: store,"))
    (told,) = ending(list(connections.values()))
    assert "target shop was removed" in told


def test_an_account_is_disabled_everywhere(served: Served) -> None:
    """Its sessions end in each."""
    connections = opened(served, account(served, "spread"))
    assert served.cli("service-accounts", "disable", "spread").returncode == 0
    (told,) = ending(list(connections.values()))
    assert 'service account "spread" is disabled' in told


def test_a_token_is_revoked_everywhere(served: Served) -> None:
    """One that the gateway issued; its sessions end in each."""
    client = ("fetching", account(served, "fetching").reveal_text())
    grant = {"grant_type": "client_credentials"}
    token = Secret(post(served, "/oauth/token", grant, client).json()["access_token"])
    connections = opened(served, token)
    assert post(served, "/oauth/revoke", {"token": token.reveal_text()}, client).status_code == 200
    (told,) = ending(list(connections.values()))
    assert "its token was revoked" in told


def test_sessions_are_ended_everywhere(served: Served) -> None:
    """The API, in a process without sessions, sees those of each worker, and ends them."""
    connections, ops = opened(served), served.token("dana", "ops")

    def seen() -> list[str]:
        listed = served.api("GET", "/api/v1/sessions?live=true", ops).json()
        found = [each["session_id"] for each in listed["items"]]
        return found if len(found) == 3 else []

    def counted() -> bool:
        shown = served.api("GET", "/metrics", served.token("ada", "ops")).text
        return 'ostiary_sessions{protocol="postgres",target="shop"} 3.0' in shown

    until(counted, "all are counted", SECONDS)
    for session_id in until(seen, "all are seen", SECONDS):
        path = f"/api/v1/sessions/{session_id}/kill"
        ended = served.api("POST", path, ops, {"reason": "wrong database"})
        assert (ended.status_code, ended.json()["closed"]) == (200, True)
    (told,) = ending(list(connections.values()))
    assert "was ended by ci:dana: wrong database" in told


def test_cancel_reaches_its_worker(served: Served) -> None:
    """From wherever the request lands; one of nobody's changes nothing."""
    for connection in opened(served).values():
        for _ in range(6):
            # Six requests land on one worker once in 729 times.
            with pytest.raises(psycopg.errors.QueryCanceled):
                Cancelled(connection).run()
        assert connection.execute("SELECT 1").fetchone() == (1,)


class Cancelled:
    """A statement that is cancelled while it is held for approval: it is waiting for certain."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self) -> None:
        """Raises QueryCanceled."""

        def cancel(_: object) -> None:
            self._connection.cancel_safe(timeout=SECONDS)

        self._connection.add_notice_handler(cancel)
        try:
            self._connection.execute("CREATE TABLE public.never_made (a int)")
        finally:
            self._connection.remove_notice_handler(cancel)


# ---------------------------------------------------------------- processes that end


def test_a_worker_that_is_killed(served: Served) -> None:
    """Others go on; /readyz says so meanwhile; it is started again; what its sessions asked for is withdrawn."""
    connections = opened(served)
    waiting = Held(served, "CREATE TABLE public.never_made (a int)")
    served.pending()
    number = worker(waiting.connection)
    began = [event for event in served.events("worker serves") if event["worker"] == number]
    (process,) = [each for each in processes(served) if each.cmdline()[-1] == str(number)]
    process.kill()
    until(lambda: served.api("GET", "/readyz", None).status_code == 503, "it is not ready")
    assert waiting.end().startswith("None: ")
    with pytest.raises(psycopg.OperationalError):
        connections.pop(number).execute("SELECT 1")
    for each in connections.values():
        assert each.execute("SELECT 1").fetchone() == (1,)
    assert served.events("worker ended; it is started again")[-1]["number"] == number

    def again() -> bool:
        return [event for event in served.events("worker serves") if event["worker"] == number] > began

    until(again, "it is started again")
    assert served.json("approvals", "list") == []
    until(lambda: served.api("GET", "/readyz", None).status_code == 200, "it is ready")
    opened(served)
    while _OPEN:
        _OPEN.pop().close()
    # Nobody knows their passwords; they go five minutes after their VALID UNTIL.
    left = until(lambda: roles if len(roles := served.roles()) == 2 else [], "only those of its sessions are left")
    query = (
        "SELECT count(*) FROM pg_roles WHERE starts_with(rolname, 'ostiary_shop_') AND rolvaliduntil < now() + '2 h'"
    )
    assert served.server.run(query) == [(2,)]
    for role in left:
        served.server.run(f"DROP ROLE {role}")


def test_a_port_is_not_shared_with_another_gateway(postgres15: PostgresServer, tmp_path: Path, made: Served) -> None:
    """Though both ask for it to be shared; it ends in a sentence."""
    other = Served(tmp_path / "home", postgres15, DATABASE, made.issuer)
    edit(other, ("postgres: 127.0.0.1:0,", f"postgres: 127.0.0.1:{made.port},"))
    done = other.cli("serve", "--workers", "2")
    assert done.returncode == 1
    assert f"error: 127.0.0.1:{made.port} can't be listened on: Address already in use" in done.stderr
    assert "Warning" not in done.stderr


def test_the_parent_is_killed(postgres15: PostgresServer, tmp_path: Path, made: Served) -> None:
    """Its workers end by themselves, in good order: no role is left."""
    other = Served(tmp_path / "home", postgres15, DATABASE, made.issuer)
    other.arguments = ("--workers", "2")
    # Its directory stays, as documented.
    other.environment["TMPDIR"] = str(tmp_path)
    other.start()
    children = processes(other)
    assert len(children) == 2
    with other.connect() as connection:
        assert other.end(signal.SIGKILL) == -signal.SIGKILL
        with pytest.raises(psycopg.OperationalError, match="the gateway is stopping"):
            connection.execute("SELECT 1")
    assert psutil.wait_procs(children, timeout=20)[1] == []
