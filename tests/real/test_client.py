"""`ostiary connect` and `exec` with a real gateway, and an issuer whose tokens last for five seconds."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.real.certificates import Authority
from tests.real.endpoint import Endpoint, serving
from tests.real.servers import PostgresServer
from tests.real.serving import AUDIENCE, Served, issuing, prepare

DATABASE = "client_shop"
#: For how long the job works, with tokens of five seconds.
JOB_SECONDS = 30.0
_JOB = """\
import os, sys, time, psycopg
assert not any(name.startswith("OSTIARY_TOKEN") for name in os.environ)
done, end = 0, time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    for conninfo in (os.environ["DATABASE_URL"], ""):
        with psycopg.connect(conninfo) as connection:
            assert connection.execute("SELECT count(*) FROM people").fetchone() == (10,)
            done += 1
    time.sleep(0.2)
print(done)
"""


@dataclass
class Job:
    """Where a program runs that has an identity and a gateway."""

    served: Served
    endpoint: Endpoint
    environment: dict[str, str]

    def start(self, *arguments: str, **more: Any) -> "subprocess.Popen[str]":
        """Run `ostiary …`."""
        return subprocess.Popen(
            [sys.executable, "-m", "ostiary", *arguments],
            **{
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "stdin": subprocess.DEVNULL,
                "text": True,
                "env": self.environment,
                **more,
            },
        )

    def run(self, *arguments: str, seconds: float = 30.0, **more: Any) -> tuple[int, str, str]:
        """To its end: exit code, standard output, standard error."""
        with self.start(*arguments, **more) as process:
            try:
                out, err = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return process.returncode, out, err

    @contextmanager
    def connected(self, *arguments: str, target: str = "shop") -> Iterator[dict[str, Any]]:
        """`ostiary connect` until the end of the context: what it printed."""
        process = self.start("connect", target, "-o", "json", *arguments)
        assert process.stdout is not None
        try:
            text = ""
            while not text.rstrip().endswith("}"):
                line = process.stdout.readline()
                assert line, process.communicate()
                text += line
            yield json.loads(text)
        finally:
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.fixture(scope="module")
def job(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """A gateway, and what stands for GitHub's token endpoint."""
    prepare(postgres15, DATABASE)
    with issuing() as issuer, serving() as endpoint:
        served = Served(tmp_path_factory.mktemp("client") / "home", postgres15, DATABASE, issuer)
        served.start()

        def answer() -> bytes:
            return json.dumps({"value": served.token(lifetime=5.0).reveal_text()}).encode()

        endpoint.answer = answer
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "OSTIARY", "CI"))}
        environment = {
            **inherited,
            "PYTHONWARNINGS": "error",
            "XDG_CONFIG_HOME": str(served.home),
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://{endpoint.host}/token?v=1",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token",
            "OSTIARY_AUDIENCE": AUDIENCE,
            "OSTIARY_GATEWAY": f"127.0.0.1:{served.port}",
            "OSTIARY_CA": str(served.home / "gateway.crt"),
        }
        try:
            yield Job(served, endpoint, environment)
        finally:
            assert served.end() == 0
    assert "Traceback" not in served.log.read_text()
    assert served.events("session_failed") == []


def count(conninfo: str, **settings: Any) -> int:
    """People, as a program asks."""
    with psycopg.connect(conninfo, connect_timeout=20, **settings) as connection:
        row = connection.execute("SELECT count(*) FROM people").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.timeout(150)
def test_a_job_of_thirty_seconds_with_tokens_of_five(job: Job) -> None:
    """New connections never meet a token that has ended, through `connect` and `exec` at the same time."""
    asked = len(job.endpoint.asked)
    ended: list[tuple[int, str, str]] = []
    program = ("exec", "shop", "--", sys.executable, "-c", _JOB, str(JOB_SECONDS))
    child = threading.Thread(target=lambda: ended.append(job.run(*program, seconds=100.0)))
    child.start()
    done = 0
    with job.connected() as place:
        end = time.monotonic() + JOB_SECONDS
        while time.monotonic() < end:
            assert count(place["url"]) == 10
            done += 1
            time.sleep(0.2)
    child.join()
    ((code, out, err),) = ended
    assert (code, err) == (0, "")
    assert min(done, int(out)) >= 20
    # Every one of them lived for five seconds at most, and none was asked for twice as often as that needs.
    renewed = len(job.endpoint.asked) - asked
    assert 2 * JOB_SECONDS / 5 <= renewed <= 2 * JOB_SECONDS


def test_the_socket_is_its_owners_alone(job: Job) -> None:
    """A directory of mode 0700, a socket of 0600; neither is left behind."""
    with job.connected() as place:
        directory = Path(place["host"])
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE((directory / ".s.PGSQL.5432").stat().st_mode) == 0o600
        # As psql has it: neither user nor database is named.
        assert count(f"host={directory}", user="me") == 10
        assert count(f"host={directory} dbname=shop user=oauthbearer") == 10
        with pytest.raises(psycopg.OperationalError, match="elsewhere"):
            psycopg.connect(f"host={directory} dbname=elsewhere user=me")
    assert not directory.exists()


def test_a_directory_that_others_reach_is_refused(job: Job, tmp_path: Path) -> None:
    """Whoever may write there could take the socket's place."""
    tmp_path.chmod(0o755)
    code, out, err = job.run("connect", "shop", "--socket", str(tmp_path))
    assert (code, out) == (1, "")
    assert "others can reach this directory" in err
    mine = tmp_path / "mine"
    with job.connected("--socket", str(mine)) as place:
        assert place["host"] == str(mine)
        code, _, err = job.run("connect", "shop", "--socket", str(mine))
        assert (code, "somebody listens there already" in err) == (1, True)
        assert count(place["url"]) == 10
    assert list(mine.iterdir()) == []


def test_a_port(job: Job) -> None:
    """On loopback, with TLS asked for and not had, several clients at a time."""
    with job.connected("--port", "0") as place:
        assert place["host"] == "127.0.0.1"
        settings = f"host=127.0.0.1 port={place['port']} dbname=shop user=me"
        with psycopg.connect(settings) as one, psycopg.connect(f"{settings} sslmode=prefer") as two:
            for connection in (one, two, one):
                assert connection.execute("SELECT 1").fetchone() == (1,)


def test_cancel(job: Job) -> None:
    """A CancelRequest finds its way to the statement."""
    with job.connected() as place, psycopg.connect(place["url"]) as connection:
        timer = threading.Timer(0.5, connection.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(20)")
        timer.join()


def test_the_gateways_own_words_come_through(job: Job) -> None:
    """A denial is the gateway's, and so is a login that it refuses."""
    denied = pytest.raises(psycopg.errors.InsufficientPrivilege, match="no-unbounded-delete")
    with job.connected() as place, psycopg.connect(place["url"]) as connection, denied:
        connection.execute("DELETE FROM people")
    with job.connected(target="nowhere") as place, pytest.raises(psycopg.OperationalError, match="nowhere"):
        psycopg.connect(place["url"])


def test_a_gateway_that_is_another_one(job: Job, tmp_path: Path) -> None:
    """Nothing is sent to a server whose certificate proves nothing: exit code 1 and the reason."""
    stranger = tmp_path / "stranger.crt"
    stranger.write_bytes(Authority("stranger").certificate_pem)
    for arguments, why in (
        (("--ca", str(stranger)), "is not the one it should be"),
        (("--server-name", "gw.example.com"), "is not the one it should be"),
        (("--gateway", "127.0.0.1:1"), "could not be reached"),
        # A server of PostgreSQL 15, which takes TLS for a startup packet and hangs up.
        (("--gateway", f"127.0.0.1:{job.served.server.port}"), "could not be reached"),
        (("--ca", str(tmp_path / "none")), "No such file"),
    ):
        code, out, err = job.run("connect", "shop", *arguments)
        assert (code, out) == (2 if "none" in arguments[1] else 1, ""), err
        assert why in err


def test_without_an_identity_nothing_is_begun(job: Job) -> None:
    """`exec` does not start the command: exit code 3."""
    job.endpoint.status = 403
    try:
        code, out, err = job.run("exec", "shop", "--", "echo", "ran")
    finally:
        job.endpoint.status = 200
    assert (code, out) == (3, "")
    assert "answered with status 403" in err
    assert "request-token" not in err


def execute(job: Job, script: str, *arguments: str) -> tuple[int, str, str]:
    """A Python script under `ostiary exec`."""
    return job.run("exec", "shop", "--", sys.executable, "-c", script, *arguments)


def test_what_a_child_is_told(job: Job) -> None:
    """Its own port and password, the arguments as they were, and nothing of the token."""
    script = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
    inherited = {"PGSERVICE": "x", "PGOPTIONS": "-c x=1", "PGAPPNAME": "mine", "PGSSLMODE": "verify-full"}
    program = ("exec", "shop", "--", sys.executable, "-c", script, "-o", "--", "a b", "")
    mine = {"OSTIARY_TOKEN": job.served.token().reveal_text()}
    code, out, err = job.run(*program, env={**job.environment, **inherited, **mine})
    assert (code, err) == (0, "")
    arguments, told = json.loads(out)
    assert arguments == ["-o", "--", "a b", ""]
    assert not {"PGSERVICE", "PGOPTIONS", "PGPASSFILE"} & told.keys()
    assert (told["PGAPPNAME"], told["PGSSLMODE"], told["PGHOST"]) == ("mine", "disable", "127.0.0.1")
    assert told["DATABASE_URL"] == (
        f"postgresql://ostiary:{told['PGPASSWORD']}@127.0.0.1:{told['PGPORT']}/shop?sslmode=disable"
    )
    assert "eyJ" not in out


def test_others_on_the_machine_do_not_get_in(job: Job) -> None:
    """The port of `exec` serves who knows the password, and is closed when the command has ended."""
    script = """
import os, psycopg
for password in ("guess", os.environ["PGPASSWORD"] + "x", ""):
    try:
        psycopg.connect("", password=password or "p")
    except psycopg.OperationalError as error:
        print("serves the program" in str(error))
psycopg.connect("").close()
print(os.environ["PGPORT"])
"""
    code, out, err = execute(job, script)
    assert (code, err) == (0, "")
    *refused, port = out.split()
    assert refused == ["True"] * 3
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host="127.0.0.1", port=port, user="x", password="x", connect_timeout=5)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 41"), 41),
        (("sh", "-c", "kill -KILL $$"), 137),
        (("ostiary-no-such-command",), 127),
        (("/",), 126),
    ],
)
def test_exit_codes(job: Job, command: Sequence[str], code: int) -> None:
    """Those of the command, as a shell has them."""
    assert job.run("exec", "shop", "--", *command)[0] == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on(job: Job, number: signal.Signals) -> None:
    """Sent to `ostiary exec` alone, they arrive at the command, which decides what becomes of them."""
    script = """
import signal, sys
got = []
signal.signal(int(sys.argv[1]), lambda number, _: got.append(number))
print("ready", flush=True)
while not got:
    signal.pause()
print(*got)
sys.exit(7)
"""
    arguments = ("exec", "shop", "--", sys.executable, "-c", script, str(number.value))
    process = job.start(*arguments, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (7, f"{number.value}\n", "")


def test_standard_input_is_the_commands(job: Job) -> None:
    """A pipe into `ostiary exec` is a pipe into the command."""
    process = job.start("exec", "shop", "--", "cat", stdin=subprocess.PIPE)
    assert process.communicate("through\n", timeout=20) == ("through\n", "")
