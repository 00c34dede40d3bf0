"""`ostiary login`, `logout` in processes of their own, with a script for a browser and every endpoint on loopback."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.real import login_endpoints
from tests.real.login_endpoints import Endpoints
from tests.real.serving import until

_BROWSER = """\
import json, os, sys, urllib.request
with open(sys.argv[0] + ".seen", "w") as file:
    json.dump([sys.argv, dict(os.environ)], file)
try:
    page = urllib.request.urlopen(sys.argv[1], timeout=20).read().decode()
except urllib.error.HTTPError as error:
    page = error.read().decode()
with open(sys.argv[0] + ".page", "w") as file:
    file.write(page)
"""


@dataclass
class Person:
    """Somebody at a machine."""

    home: Path
    endpoints: Endpoints
    environment: dict[str, str]

    @property
    def file(self) -> Path:
        """Where logins are kept."""
        return self.home / "state" / "ostiary" / "logins.json"

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
        """To its end. No token of any kind is ever shown."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=30)
        if arguments[0] != "token":
            assert "canary" not in out + err
        return process.returncode, out, err


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    """With a browser of their own."""
    script = tmp_path / "browser.py"
    script.write_text(_BROWSER)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OSTIARY", "CI", "XDG"))}
    with login_endpoints.serving() as endpoints:
        environment = {
            **inherited,
            "HOME": str(tmp_path),
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "PYTHONWARNINGS": "error",
            "BROWSER": f"{sys.executable} {script} %s",
            "OSTIARY_TOKEN": "canary-ambient",
        }
        yield Person(tmp_path, endpoints, environment)


def test_in_the_browser(person: Person) -> None:
    """Who, where, until when; a file of one's own; the browser saw no token in its arguments or its environment."""
    code, out, err = person.run("login", person.endpoints.url)
    assert code == 0, err
    assert re.fullmatch(
        rf"logged in at {person.endpoints.url} as local:dana\\x1b\[2J, until [\d: -]+ UTC, renewed when it is used\n",
        out,
    )
    assert stat.S_IMODE(person.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(person.file.parent.stat().st_mode) == 0o700
    (saved,) = json.loads(person.file.read_text())["logins"]
    assert (saved["gateway"], saved["refresh"]) == ("127.0.0.1:5432", person.endpoints.refresh)
    arguments, environment = json.loads((person.home / "browser.py.seen").read_text())
    assert "canary" not in json.dumps([arguments, environment])
    assert "go back to the terminal" in (person.home / "browser.py.page").read_text()
    (_, exchange), *others = person.endpoints.forms
    assert others == []
    assert exchange["code_verifier"] not in json.dumps([arguments, environment]) + out + err


def test_the_token_of_a_login(person: Person) -> None:
    """Renewed underneath; an address without a scheme is https."""
    del person.environment["OSTIARY_TOKEN"]
    person.endpoints.lifetime = 0.1
    assert person.run("login", person.endpoints.url.removeprefix("http://"))[0] == 1
    assert person.run("login", person.endpoints.url)[0] == 0
    first = person.endpoints.access
    person.endpoints.lifetime = 600.0
    code, out, err = person.run("token")
    assert (code, out, err) == (0, f"{person.endpoints.access}\n", "")
    assert person.endpoints.access != first
    assert person.run("token")[1] == out


def test_many_processes_renew_once(person: Person) -> None:
    """A refresh token that is sent twice would end the login."""
    del person.environment["OSTIARY_TOKEN"]
    person.endpoints.lifetime = 0.1
    assert person.run("login", person.endpoints.url)[0] == 0
    person.endpoints.lifetime, person.endpoints.takes = 600.0, 1.0
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: person.run("token"), range(4)))
    assert done == [(0, f"{person.endpoints.access}\n", "")] * 4
    assert person.endpoints.reused == 0
    assert [path for path, _ in person.endpoints.forms] == ["/token", "/token"]


@pytest.mark.parametrize(
    ("command", "number", "ends"), [("token", signal.SIGINT, 130), ("whoami", signal.SIGTERM, -signal.SIGTERM)]
)
def test_interrupted_while_it_renews(command: str, number: int, ends: int, person: Person) -> None:
    """The new refresh token is kept before the process ends."""
    del person.environment["OSTIARY_TOKEN"]
    person.endpoints.lifetime = 0.1
    assert person.run("login", person.endpoints.url)[0] == 0
    person.endpoints.lifetime, person.endpoints.takes = 600.0, 2.0
    before = person.endpoints.refresh
    process = person.start(command)
    until(lambda: len(person.endpoints.forms) == 2, "a request for new tokens")
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == ends
    until(lambda: person.endpoints.refresh != before, "an answer")
    person.endpoints.takes = 0.0
    assert person.run("token") == (0, f"{person.endpoints.access}\n", "")
    assert person.endpoints.reused == 0


def test_a_device(person: Person) -> None:
    """The address and the code, and no browser; also where there is no browser at all."""
    for arguments in (("--device",), ()):
        person.endpoints.refusals = ["authorization_pending"]
        code, out, err = person.run("login", person.endpoints.url, *arguments)
        assert code == 0, err
        assert f"go to {person.endpoints.url}/enter\n" in err
        assert "type in WDJB-MJHT" in err
        assert out.startswith("logged in at")
        assert not (person.home / "browser.py.seen").exists()
        for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
            person.environment.pop(name, None)


def test_refused(person: Person) -> None:
    """Exit code 3, in harmless words; nothing is saved."""
    person.endpoints.refusals = ["invalid_grant"]
    code, out, err = person.run("login", person.endpoints.url)
    assert (code, out) == (3, "")
    assert "refused it: no \\x1b[2J\\u202e\n" in err
    assert not person.file.exists()


@pytest.mark.parametrize("back", [{"iss": "https://other.example"}, {"error": "access_denied", "code": ""}])
def test_an_answer_that_is_no_login(back: dict[str, str], person: Person) -> None:
    """Another issuer's code is not sent anywhere; a refusal is told."""
    person.endpoints.back = back
    code, out, err = person.run("login", person.endpoints.url)
    assert (code, out) == (1, "")
    assert "another issuer answered" in err or "the login was refused: access_denied" in err
    assert person.endpoints.forms == []
    assert "The login failed" in (person.home / "browser.py.page").read_text()


def test_metadata_that_point_to_another_host(person: Person) -> None:
    """Nobody goes there."""
    person.endpoints.metadata = {"token_endpoint": "http://127.0.0.2:9/token"}
    code, _, err = person.run("login", person.endpoints.url)
    assert code == 1
    assert 'another host\'s token_endpoint: "http://127.0.0.2:9/token"' in err
    assert not (person.home / "browser.py.seen").exists()


def ask(port: int, data: bytes) -> bytes:
    """What the listener says to it, at once."""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as connection:
        try:
            connection.sendall(data)
            return connection.recv(65536)
        except ConnectionError:
            return b""


def test_other_processes_at_the_listener(person: Person) -> None:
    """A wrong state, garbage, a huge request, more connections than it keeps: the login goes on, and then succeeds."""
    with person.start("login", person.endpoints.url, "--no-browser") as process:
        assert process.stderr is not None
        process.stderr.readline()
        url = process.stderr.readline().strip()
        found = re.search(r"redirect_uri=http%3A%2F%2F127\.0\.0\.1%3A(\d+)%2Fcallback", url)
        assert found is not None
        port = int(found[1])
        host = f"Host: 127.0.0.1:{port}\r\n\r\n".encode()
        assert ask(port, b"GET /callback?code=evil&state=wrong HTTP/1.1\r\n" + host).startswith(b"HTTP/1.1 400 ")
        assert ask(port, b"GET / HTTP/1.1\r\n" + host).startswith(b"HTTP/1.1 404 ")
        assert ask(port, b"GET /callback?" + b"x" * 100_000) == b""
        assert ask(port, os.urandom(2000) + b"\r\n\r\n").startswith(b"HTTP/1.1 404 ")
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        with socket.create_connection(("127.0.0.1", port)) as elsewhere:
            assert elsewhere.getpeername()[0] == "127.0.0.1"
        page = subprocess.run(
            [sys.executable, str(person.home / "browser.py"), url], env=person.environment, check=False, timeout=30
        )
        assert page.returncode == 0
        out, err = process.communicate(timeout=30)
        for each in idle:
            each.close()
    assert (process.returncode, err) == (0, "")
    assert out.startswith("logged in at")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_given_up(person: Person) -> None:
    """Ctrl-C ends it at once; nothing is saved."""
    with person.start("login", person.endpoints.url, "--no-browser") as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("error: stopped: nobody was logged in\n")
    assert not person.file.exists()


def test_out(person: Person) -> None:
    """Revoked and gone; a second time there is nothing to do, and that is no error."""
    person.run("login", person.endpoints.url)
    refresh = person.endpoints.refresh
    assert person.run("logout") == (0, f"logged out at {person.endpoints.url}\n", "")
    assert person.endpoints.forms[-1][1]["token"] == refresh
    assert json.loads(person.file.read_text()) == {"logins": []}
    assert person.run("logout") == (0, "", "nobody was logged in\n")


def test_out_without_the_gateway(tmp_path: Path, person: Person) -> None:
    """The login is gone from this machine, with a warning."""
    person.run("login", person.endpoints.url)
    saved: dict[str, Any] = json.loads(person.file.read_text())
    saved["logins"][0]["endpoints"]["revocation_endpoint"] = "http://127.0.0.1:9/revoke"
    person.file.write_text(json.dumps(saved))
    code, out, err = person.run("logout")
    assert (code, out) == (0, f"logged out at {person.endpoints.url}\n")
    assert err.startswith("warning: the gateway could not be told (")
    assert json.loads(person.file.read_text()) == {"logins": []}


def test_who(person: Person) -> None:
    """The gateway's own words, made harmless; the token of whoever asks is enough."""
    person.run("login", person.endpoints.url)
    person.environment |= {"OSTIARY_API": person.endpoints.url, "OSTIARY_TOKEN": person.endpoints.access}
    code, out, err = person.run("whoami")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "  principal local:dana\\x1b[2J (human)",
        "  groups    dba",
        "  proven by an access token of this gateway's",
        "  may       nothing on the gateway itself",
    ]
    assert json.loads(person.run("whoami", "-o", "json")[1])["principal"] == "local:dana\x1b[2J"


def test_who_without_a_login(person: Person) -> None:
    """What to do is said."""
    code, out, err = person.run("whoami")
    assert (code, out) == (2, "")
    assert "log in with `ostiary login`" in err


def test_a_file_that_others_can_read(person: Person) -> None:
    """Is not used, and the sentence says what to do."""
    person.run("login", person.endpoints.url)
    person.file.chmod(0o640)
    del person.environment["OSTIARY_TOKEN"]
    code, out, err = person.run("token")
    assert (code, out) == (3, "")
    assert f"others can get at {person.file} (mode 0640)" in err
    assert f"next:  `chmod 0600 {person.file}`" in err
