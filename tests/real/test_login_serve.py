"""`ostiary login` at a real `ostiary serve`: by a script of a browser, as a device; `logout`, and the audit log."""

import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from ostiary.recording import SignIn, SignInEvent, read
from ostiary.recording.layout import audit_logs
from tests.real.browsing import SignInGateway, signing_in

pytestmark = pytest.mark.real
PASSWORD = "a canary with four words"
#: Follows redirects at the gateway and sends the forms it meets, then calls the CLI's listener.
_BROWSER = """\
import re, ssl, sys
import httpx2
link, password, ca = open(sys.argv[0] + ".knows").read().split("\\n")
asked = httpx2.URL(sys.argv[1])
def form(page, **fields):
    hidden = re.findall(r'type="hidden" name="([a-z_]+)" value="([^"]*)"', page)
    return {name: value.replace("&amp;", "&") for name, value in hidden} | fields
with httpx2.Client(verify=ssl.create_default_context(cafile=ca), follow_redirects=True) as browser:
    page = browser.get(asked).text
    page = browser.post(asked.join("/login"), data=form(page, username="admin", password=password)).text
    browser.post(asked.join("/oauth/authorize"), data=form(page, decision="allow"))
"""


@dataclass
class Person:
    """Somebody who has set the gateway up, with a machine of their own."""

    gateway: SignInGateway
    browser: httpx2.Client
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

    def run(self, *arguments: str) -> str:
        """To a good end; its output."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=40)
        assert process.returncode == 0, err
        return out

    def send(self, path: str, page: str, **fields: str) -> httpx2.Response:
        """A form."""
        hidden = dict(re.findall(r'type="hidden" name="([a-z_]+)" value="([^"]*)"', page))
        return self.browser.post(path, data={**hidden, **fields})

    def events(self) -> list[tuple[SignInEvent, str]]:
        """Of the audit logs."""
        lines = [entry.body for path in audit_logs(self.gateway.home / "recordings") for entry in read(path)]
        return [(line.event, line.client) for line in lines if isinstance(line, SignIn)]


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    """The link was used."""
    home, gateway_home = tmp_path / "person", tmp_path / "gateway"
    home.mkdir()
    gateway_home.mkdir()
    with signing_in(gateway_home) as gateway:
        ca = str(gateway_home / "gateway.crt")
        context = ssl.create_default_context(cafile=ca)
        script = home / "browser.py"
        script.write_text(_BROWSER)
        Path(f"{script}.knows").write_text(f"{gateway.link}\n{PASSWORD}\n{ca}")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OSTIARY", "CI", "XDG"))}
        environment = {
            **inherited,
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "OSTIARY_CA": ca,
            "BROWSER": f"{sys.executable} {script} %s",
            "PYTHONWARNINGS": "error",
        }
        with httpx2.Client(verify=context, base_url=gateway.url, follow_redirects=True) as browser:
            page = browser.get(gateway.link).text
            path = gateway.link.removeprefix(gateway.url)
            hidden = dict(re.findall(r'type="hidden" name="([a-z_]+)" value="([^"]*)"', page))
            done = browser.post(path, data={**hidden, "password": PASSWORD, "again": PASSWORD})
            assert "ostiary:admin" in done.text
            yield Person(gateway, browser, environment)


def test_by_browser(person: Person) -> None:
    """In, who one is, out; and the token is good no more."""
    out = person.run("login", person.gateway.url)
    assert f"logged in at {person.gateway.url} as ostiary:admin" in out
    who = json.loads(person.run("whoami", "-o", "json"))
    assert "ostiary:admin" in json.dumps(who)
    token = person.run("token").strip()
    asked = {"Authorization": f"Bearer {token}"}
    assert person.browser.get("/api/v1/me", headers=asked).status_code == 200
    person.run("logout")
    assert person.browser.get("/api/v1/me", headers=asked).status_code == 401
    assert [event for event in person.events() if event[1] == "ostiary-cli"] == [
        (SignInEvent.GRANTED, "ostiary-cli"),
        (SignInEvent.SIGNED_OUT, "ostiary-cli"),
    ]
    for secret in (token, PASSWORD):
        assert secret not in person.gateway.log


def test_by_device(person: Person) -> None:
    """A person looks at what asks, and confirms it."""
    with person.start("login", "--device", person.gateway.url) as process:
        assert process.stderr is not None
        shown = ""
        while not (code := re.search(r"\b[A-Z]{4}-[A-Z]{4}\b", shown)):
            line = process.stderr.readline()
            assert line, shown
            shown += line
        page = person.browser.get("/device").text
        page = person.send("/device", page, user_code=code[0]).text
        assert "127.0.0.1" in page
        assert "logged in as you" in person.send("/device/decide", page, decision="allow").text
        out, err = process.communicate(timeout=40)
        assert process.returncode == 0, shown + err
    assert "as ostiary:admin" in out
    assert (SignInEvent.CONFIRMED, "ostiary-cli") in person.events()
