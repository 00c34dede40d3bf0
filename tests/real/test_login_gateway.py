"""A person logs in at a real gateway from the command line, and works with what that gives."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.real import login_browser
from tests.real.servers import PostgresServer, free_port
from tests.real.serving import POLICY, Served, issuing, prepare, until

DATABASE = "login_shop"
PASSWORD = "correct-canary-horse-battery"
#: An access token's life, in seconds.
LIFETIME = 6.0
_ADMIN = """\
@id("the-admin")
permit (principal == Human::"ostiary:admin", action, resource);
@id("the-admin-looks")
permit (principal == Human::"ostiary:admin", action in [Action::"view", Action::"audit", Action::"unknown"], resource);
"""
_JOB = """\
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    print(connection.execute("SELECT count(*) FROM people").fetchone()[0])
"""


@dataclass
class Person:
    """Somebody with an account at a gateway."""

    served: Served
    url: str
    environment: dict[str, str]

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """`ostiary …`."""
        return subprocess.Popen(
            [sys.executable, "-m", "ostiary", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """To its end."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def login(self, *arguments: str) -> None:
        """In the browser."""
        ca = str(self.served.home / "gateway.crt")
        gateway = f"127.0.0.1:{self.served.port}"
        code, out, err = self.run("login", self.url, "--ca", ca, "--gateway", gateway, *arguments)
        assert code == 0, err
        assert out.startswith(f"logged in at {self.url} as ostiary:admin, until ")


def pass_half() -> None:
    """Let half of an access token's life pass: whoever uses a login then renews it."""
    end = time.monotonic() + LIFETIME / 2
    until(lambda: time.monotonic() > end, "half of a token's life is over")


@pytest.fixture(scope="module")
def gateway(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With a local administrator that is set up, and access tokens that are soon over."""
    prepare(postgres15, DATABASE)
    with issuing() as issuer:
        served = Served(tmp_path_factory.mktemp("login") / "home", postgres15, DATABASE, issuer)
        url = f"https://127.0.0.1:{free_port()}"
        text = served.config.read_text().replace("api: 127.0.0.1:0", f"api: {url.removeprefix('https://')}")
        text = text.replace("server:\n", f"server:\n  url: {url}\n  token_lifetime: {LIFETIME:.0f}s\n", 1)
        served.config.write_text(text)
        served.policy(POLICY + _ADMIN)
        served.start()
        try:
            found = until(lambda: re.search(rf"{url}/setup/\S+", served.log.read_text()), "a one-time link")
            assert "201" not in browse(served, found[0])
            yield served
        finally:
            assert served.end() == 0
    log = served.log.read_text()
    assert "Traceback" not in log
    assert "canary" not in log


def browse(served: Served, address: str, code: str = "") -> str:
    """What the last page says."""
    command = [
        sys.executable,
        login_browser.__file__,
        str(served.home / "gateway.crt"),
        "admin",
        PASSWORD,
        address,
        code,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.fixture
def person(gateway: Served, tmp_path: Path) -> Person:
    """With a browser of their own, and nothing that another identity could be found by."""
    certificate = gateway.home / "gateway.crt"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "OSTIARY", "CI"))}
    environment = {
        **inherited,
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PYTHONWARNINGS": "error",
        "BROWSER": f"{sys.executable} {login_browser.__file__} {certificate} admin {PASSWORD} %s",
    }
    url = re.search(r"url: (\S+)", gateway.config.read_text())
    assert url is not None
    return Person(gateway, url[1], environment)


def test_a_person_works_at_a_database(person: Person) -> None:
    """From the browser to a row: who they are is asked, a target is reached, and the token is renewed underneath."""
    person.login()
    me = json.loads(person.run("whoami", "-o", "json")[1])
    assert (me["principal"], me["kind"], me["proof"], me["client"]) == (
        *("ostiary:admin", "human", "access-token", "ostiary-cli"),
    )
    assert me["may"] == ["view", "audit"]
    assert me["login_until"] > me["expires_at"].replace("T", " ")
    for _ in range(3):
        assert person.run("exec", "shop", "--", sys.executable, "-c", _JOB) == (0, "10\n", "")
        pass_half()
    (session, *_) = person.served.json("sessions", "list", "--limit", "1")
    assert session["principal"] == "ostiary:admin"


def test_a_device(person: Person) -> None:
    """With the code that is shown, typed in by somebody who is signed in."""
    del person.environment["BROWSER"]
    ca = str(person.served.home / "gateway.crt")
    with person.start("login", person.url, "--ca", ca, "--device") as process:
        assert process.stderr is not None
        address = process.stderr.readline().removeprefix("go to ").strip()
        code = process.stderr.readline().removeprefix("and type in ").split()[0]
        assert "The device is logged in as you" in browse(person.served, address, code)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.startswith(f"logged in at {person.url} as ostiary:admin")
    assert person.run("whoami")[0] == 0


def test_two_processes_renew_at_once(person: Person) -> None:
    """The refresh token is sent once: neither loses the login, and it goes on afterwards."""
    person.login()
    for _ in range(2):
        pass_half()
        with ThreadPoolExecutor(3) as pool:
            done = list(pool.map(lambda _: person.run("token"), range(3)))
        assert [code for code, _, _ in done] == [0, 0, 0], done
        assert len({out for _, out, _ in done}) == 1


def test_logging_out_ends_what_is_open(person: Person) -> None:
    """Within five seconds; and neither the token nor the login is good any more."""
    person.login()
    with person.start("connect", "shop", "-o", "json") as process:
        assert process.stdout is not None
        text = ""
        while not text.rstrip().endswith("}"):
            text += process.stdout.readline()
        token = person.run("token")[1].strip()
        with psycopg.connect(json.loads(text)["url"], connect_timeout=20) as connection:
            assert connection.execute("SELECT count(*) FROM people").fetchone() == (10,)
            began = time.monotonic()
            assert person.run("logout") == (0, f"logged out at {person.url}\n", "")

            def ended() -> bool:
                try:
                    connection.execute("SELECT 1")
                except psycopg.OperationalError:
                    return True
                return False

            until(ended, "the session ends", 5.0)
            assert time.monotonic() - began < 5.0
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    person.environment |= {"OSTIARY_API": person.url, "OSTIARY_TOKEN": token}
    person.environment["OSTIARY_CA"] = str(person.served.home / "gateway.crt")
    code, _, err = person.run("whoami")
    assert code == 3
    assert "it was revoked" in err or "ended" in err
    assert token not in err


def test_a_login_that_was_stolen(person: Person) -> None:
    """A refresh token that comes a second time ends the login of the thief and of the owner, who is told so."""
    person.login()
    file = Path(person.environment["XDG_STATE_HOME"]) / "ostiary" / "logins.json"
    copy = file.read_text()
    pass_half()
    assert person.run("token")[0] == 0
    file.write_text(copy)
    assert person.run("token")[0] == 3
    code, out, err = person.run("token")
    assert (code, out) == (3, "")
    assert f"the login at {person.url} has ended" in err
    assert f"next:  log in again: `ostiary login {person.url}`" in err


def test_another_gateway_gets_nothing(person: Person) -> None:
    """The login's token goes to no address but its own gateway's."""
    person.login()
    code, _, err = person.run("connect", "shop", "--gateway", "127.0.0.1:1")
    assert code == 3
    assert "nobody is logged in at the gateway 127.0.0.1:1" in err


def test_a_certificate_that_is_not_trusted(person: Person) -> None:
    """The reason, the next step, and no browser."""
    code, out, err = person.run("login", person.url)
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        f"error: {person.url}: its certificate is not trusted",
        "next:  name the gateway's authority with --ca",
    ]
