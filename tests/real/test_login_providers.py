"""People sign in through a real `serve` at the certified `oidc-provider` and at `samlp`.

An HTTP client is the browser. What an attacker changes on the way is refused.
"""

import html
import json
import re
import secrets
import subprocess
import sys
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx2
import pytest

from tests.real.login_providers import Browser, openid_provider, pin, saml_provider
from tests.real.servers import free_port
from tests.real.serving import until

pytestmark = pytest.mark.timeout(300)

CONFIG = """\
server:
  url: {url}
  tls: auto
  listen: {{postgres: 127.0.0.1:0, api: "127.0.0.1:{port}"}}
issuers:
  - name: staff
    type: oidc
    issuer: {oidc}
    groups: "{{groups}}"
    login: {{client_id: gateway, client_secret: {{file: client.secret}}, scopes: [openid, email, groups]}}
  - {{name: corp, type: saml, entity_id: "{saml}/metadata", metadata: idp/idp.xml, login: {{}},
     groups: "corp/{{groups}}"}}
targets:
  - {{name: shop, protocol: postgres, address: "127.0.0.1:1", credential: {{type: static, username: x}}}}
policies: policies
"""


@dataclass
class World:
    """A gateway that serves, and the two providers."""

    home: Path
    url: str
    oidc: str
    saml: str

    def browser(self) -> Browser:
        """Of a new person."""
        return Browser(self.home / "gateway.crt")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Of the gateway's log."""
        lines = (self.home / "serve.log").read_text().splitlines(keepends=True)
        return [event for line in lines if line.endswith("}\n") and (event := json.loads(line))["event"] == name]

    def out(self, browser: Browser, path: str = "/login/oidc/staff") -> httpx2.Response:
        """Begin, and sign in there: the page or redirect that leads back."""
        return browser.follow(f"{self.url}{path}?then=/healthz", f"{self.url}{path}/callback")

    def answer(self, browser: Browser) -> dict[str, str]:
        """What `samlp` has the browser post."""
        action, form = browser.form(self.out(browser, "/login/saml/corp").text)
        assert action == f"{self.url}/login/saml/corp/acs"
        return form

    def post(self, browser: Browser, form: dict[str, str]) -> httpx2.Response:
        """Send it."""
        return browser.client.post(f"{self.url}/login/saml/corp/acs", data=form)

    def refused(self, response: httpx2.Response) -> str:
        """Why: what the log says, and nothing that came is on the page."""
        assert response.status_code >= 400
        assert "sign-in refused" in response.text
        return str(self.events("sign-in refused")[-1]["why"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All of them, started once."""
    home = tmp_path_factory.mktemp("login")
    (home / "policies").mkdir()
    (home / "policies" / "a.cedar").write_text('@id("a") permit (principal, action, resource);')
    (home / "idp").mkdir()
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    with ExitStack() as stack:
        oidc, secret = stack.enter_context(openid_provider(f"{url}/login/oidc/staff/callback"))
        entity, acs = (f"{url}/login/saml/corp/{name}" for name in ("metadata", "acs"))
        saml = stack.enter_context(saml_provider(home / "idp", entity, acs))
        (home / "client.secret").touch(mode=0o600)
        (home / "client.secret").write_text(secret)
        (home / "ostiary.yaml").write_text(CONFIG.format(url=url, port=port, oidc=oidc, saml=saml))
        log = stack.enter_context((home / "serve.log").open("wb"))
        command = [sys.executable, "-W", "error", "-m", "ostiary", "serve", "-c", str(home / "ostiary.yaml")]
        process = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
        stack.callback(process.terminate)
        made = World(home, url, oidc, saml)
        until(lambda: made.events("serving") or process.poll() is not None, "serving")
        assert process.poll() is None, (home / "serve.log").read_text()
        pin(made.browser().client.get(entity).raise_for_status().content, home / "idp")
        yield made


def test_by_openid_connect(world: World) -> None:
    """Ada signs in, comes back, and is led to where she wanted to go."""
    browser = world.browser()
    back = world.out(browser)
    done = browser.client.get(back.headers["location"])
    assert (done.status_code, done.headers["location"]) == (303, "/healthz")
    assert world.events("signed in")[-1]["principal"] == "staff:ada"


def test_by_saml(world: World) -> None:
    """`samlp` takes the request, whose signature it verifies, and its Response signs ada in."""
    browser = world.browser()
    done = world.post(browser, world.answer(browser))
    assert (done.status_code, done.headers["location"]) == (303, "/healthz")
    assert world.events("signed in")[-1]["principal"] == "corp:ada@example.test"


def test_a_request_that_was_changed(world: World) -> None:
    """The signature of the AuthnRequest is what `samlp` goes by."""
    browser = world.browser()
    begun = browser.client.get(f"{world.url}/login/saml/corp").headers["location"]
    query = {name: value for name, (value,) in parse_qs(urlsplit(begun).query).items()}
    assert browser.client.get(begun).status_code == 200
    changed = {**query, "RelayState": "x"}
    assert browser.client.get(f"{world.saml}/sso?{urlencode(changed)}").status_code == 500


def test_attacks_on_openid_connect(world: World) -> None:
    """State, issuer, code and browser exchanged, and the code used twice: each on a sign-in that was good."""
    for changes, sentence in (
        ({"state": "x" * 43}, "does not belong"),
        ({"iss": "https://evil.example"}, "not from the provider that was asked"),
        ({"iss": None}, "not from the provider that was asked"),
        ({"code": "x" * 43}, "says invalid_grant"),
        ({"code": None}, "no code"),
        ({"error": "access_denied"}, "says access_denied"),
    ):
        browser = world.browser()
        back = urlsplit(world.out(browser).headers["location"])
        query = {name: value for name, (value,) in parse_qs(back.query).items()}
        changed = {name: value for name, value in {**query, **changes}.items() if value is not None}
        answer = browser.client.get(f"{world.url}{back.path}", params=changed)
        assert sentence in world.refused(answer)
        # The right answer comes too late then.
        assert "did not begin it" in world.refused(browser.client.get(f"{world.url}{back.path}", params=query))


def test_the_code_of_somebody_else(world: World) -> None:
    """Code injection, and the whole answer in another browser."""
    victim, attacker = world.browser(), world.browser()
    stolen, own = (urlsplit(world.out(each).headers["location"]) for each in (victim, attacker))
    query = {name: value for name, (value,) in parse_qs(own.query).items()}
    query["code"] = parse_qs(stolen.query)["code"][0]
    assert "says invalid_grant" in world.refused(attacker.client.get(f"{world.url}{own.path}", params=query))
    world.out(attacker)
    assert "does not belong" in world.refused(attacker.client.get(stolen.geturl()))


def test_attacks_on_saml(world: World) -> None:
    """State, request and signed content exchanged, the Response of the provider's own accord, the same one twice."""
    changed: list[tuple[Callable[[bytes], bytes], str]] = [
        (lambda text: text.replace(b">dev<", b">dba<"), "signature"),
        (lambda text: text.replace(b" InResponseTo=", b" x=", 1), "InResponseTo"),
        (lambda text: text.replace(b'Destination="', b'Destination="https://evil.example/', 1), "recipient"),
        (lambda text: text.replace(b":status:Success", b":status:Responder"), "success"),
        (lambda text: text.replace(b"ada@", b"<!-- -->ada@"), "comment"),
        (lambda text: b"<!DOCTYPE x>" + text, "DTD"),
        (lambda _: b"AAA", "neither a JWT nor a SAML assertion"),
    ]
    for change, sentence in changed:
        browser = world.browser()
        form = world.answer(browser)
        form["SAMLResponse"] = b64encode(change(b64decode(form["SAMLResponse"]))).decode()
        assert sentence in world.refused(world.post(browser, form))
    browser = world.browser()
    form = world.answer(browser)
    assert "does not belong" in world.refused(world.post(browser, {**form, "RelayState": "x" * 43}))
    browser = world.browser()
    fresh = world.answer(browser)
    assert "InResponseTo" in world.refused(world.post(browser, {**fresh, "SAMLResponse": form["SAMLResponse"]}))
    unsolicited = browser.form(browser.client.get(f"{world.saml}/assertion").text)[1]["SAMLResponse"]
    browser = world.browser()
    fresh = world.answer(browser)
    assert "InResponseTo" in world.refused(world.post(browser, {**fresh, "SAMLResponse": unsolicited}))
    browser = world.browser()
    fresh = world.answer(browser)
    cookies = dict(browser.client.cookies)
    assert world.post(browser, fresh).status_code == 303
    for name, value in cookies.items():
        browser.client.cookies.set(name, value, domain="127.0.0.1")
    assert "answered before" in world.refused(world.post(browser, fresh))


def test_the_log_holds_no_secret(world: World) -> None:
    """Neither the client's, nor codes, states and assertions."""
    browser = world.browser()
    back = world.out(browser).headers["location"]
    browser.client.get(back)
    form = world.answer(browser)
    world.post(browser, form)
    told = (world.home / "serve.log").read_text()
    query = parse_qs(urlsplit(back).query)
    for secret in (
        *(query["code"][0], query["state"][0], form["RelayState"], form["SAMLResponse"][:80]),
        (world.home / "client.secret").read_text(),
    ):
        assert secret not in told


def test_logins_change_while_the_gateway_runs(world: World) -> None:
    """The login page follows the configuration; a provider that can't be used leaves what there is."""
    config, browser = world.home / "ostiary.yaml", world.browser()
    text = config.read_text()

    def shown() -> set[str]:
        return set(
            re.findall(r'<a [^>]*href="/login/[^"]+">([^<]+)</a>', browser.client.get(f"{world.url}/login").text)
        )

    def write(changed: str) -> None:
        draft = config.with_name("draft")
        draft.write_text(changed)
        draft.replace(config)

    write(text.replace("login: {},", "login: {title: Old staff},"))
    until(lambda: shown() == {"staff", "Old staff"}, "the new title is shown")
    known = len(world.events("configuration not adopted; the one before stays in force"))
    write(text.replace("idp/idp.xml", "nowhere.xml"))
    until(
        lambda: len(world.events("configuration not adopted; the one before stays in force")) > known, "it is refused"
    )
    assert shown() == {"staff", "Old staff"}
    write(text)
    until(lambda: shown() == {"staff", "corp"}, "the first title is back")


@pytest.mark.parametrize(
    ("title", "principal", "group"),
    [("staff", "staff:ada", "dev"), ("corp", "corp:ada@example.test", "corp/dev")],
)
def test_a_program_acts_for_a_person(world: World, title: str, principal: str, group: str) -> None:
    """From the program's request to its token: the login page offers both providers, and the person says yes."""
    browser, verifier = world.browser(), secrets.token_urlsafe(32)
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    back = "http://127.0.0.1:9/callback"
    asked = {
        "response_type": "code",
        "client_id": "ostiary-cli",
        "redirect_uri": back,
        "state": "s",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    page = browser.follow(f"{world.url}/oauth/authorize?{urlencode(asked)}", back)
    ways = {name: html.unescape(path) for path, name in re.findall(r'<a [^>]*href="([^"]+)">(\w+)</a>', page.text)}
    assert set(ways) == {"staff", "corp"}
    page = browser.follow(f"{world.url}{ways[title]}", back)
    if title == "corp":
        action, form = browser.form(page.text)
        done = browser.client.post(action, data=form)
        page = browser.follow(urljoin(world.url, done.headers["location"]), back)
    assert principal in page.text
    _, form = browser.form(page.text)
    done = browser.client.post(f"{world.url}/oauth/authorize", data={**form, "decision": "allow"})
    answer = {name: value for name, (value,) in parse_qs(urlsplit(done.headers["location"]).query).items()}
    assert (answer["state"], answer["iss"]) == ("s", world.url)
    program = world.browser().client
    token = program.post(
        f"{world.url}/oauth/token",
        data={
            "grant_type": "authorization_code",
            "client_id": "ostiary-cli",
            "redirect_uri": back,
            "code": answer["code"],
            "code_verifier": verifier,
        },
    ).raise_for_status()
    header = {"Authorization": f"Bearer {token.json()['access_token']}"}
    me = program.get(f"{world.url}/api/v1/me", headers=header).raise_for_status().json()
    assert (me["principal"], me["kind"]) == (principal, "human")
    assert group in me["groups"]


def test_a_provider_that_is_changed(world: World) -> None:
    """Whoever signed in there before is signed in no more, and signs in again; who signed in elsewhere stays."""

    def signed_in(browser: Browser) -> bool:
        return "ada" in browser.client.get(f"{world.url}/login").text

    ada, other = world.browser(), world.browser()
    ada.client.get(world.out(ada).headers["location"])
    world.post(other, world.answer(other))
    assert (signed_in(ada), signed_in(other)) == (True, True)
    config = world.home / "ostiary.yaml"
    config.write_text(config.read_text().replace('groups: "{groups}"', 'groups: "other/{groups}"'))
    until(lambda: not signed_in(ada), "signed in no more")
    assert signed_in(other)
    ada.client.get(world.out(ada).headers["location"])
    assert signed_in(ada)
