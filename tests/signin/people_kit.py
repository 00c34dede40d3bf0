"""A gateway that people sign in at, without sockets: real rooms on a store of its own, browsers, and a clock."""

import base64
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from argon2 import PasswordHasher
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response

from ostiary.accounts.clients import Clients
from ostiary.accounts.identity import AccountIdentity, Liveness
from ostiary.accounts.issued import Tokens
from ostiary.accounts.signing_keys import SigningKeys
from ostiary.api import problems
from ostiary.api.browser import Browsers
from ostiary.api.guard import Guard
from ostiary.api.routes import oauth, people
from ostiary.api.routes import ways as other_ways
from ostiary.core import Principal, Proof, Secret
from ostiary.gate.attempts import Attempts
from ostiary.identity import OidcIssuer
from ostiary.oauth import PATHS, PEOPLE_PATHS, OAuth, TellsTokens
from ostiary.oauth.authorize import CLI, AuthorizationEndpoint
from ostiary.oauth.people import PeopleGrants
from ostiary.recording import SignIn, SignInEvent
from ostiary.signin.admin import Admins, new_link
from ostiary.signin.passkeys import Passkeys
from ostiary.signin.passwords import Passwords
from ostiary.signin.sealed import Seal
from ostiary.signin.sessions import Logins
from ostiary.signin.ways import Ways
from ostiary.store import Store
from tests.accounts.fakes import Others
from tests.identity.fakes import NOW

URL: Final = "https://gw.example"
PASSWORD: Final = "a canary with four words"
LIFETIME: Final = 12 * 3600.0
REDIRECT: Final = "http://127.0.0.1:4711/callback"
#: What the browsers send of themselves.
HTML: Final = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Counting(Passwords):
    """Cheap, and counts."""

    def __init__(self) -> None:
        super().__init__(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.verified: list[str] = []

    async def verify(self, stored: str, password: Secret) -> bool:
        """As ever."""
        self.verified.append(stored)
        return await super().verify(stored, password)


class Browser:
    """Keeps cookies, follows nothing, sends forms as it got them."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.page = ""

    async def get(self, path: str, **query: str) -> Response:
        """A page."""
        response = await self.client.get(path, params=query or None, headers=HTML)
        self.page = response.text
        return response

    async def send(self, path: str, **fields: str) -> Response:
        """The form of the page that is shown, with these fields filled in."""
        hidden = {name: value.replace("&amp;", "&") for name, value in _HIDDEN.findall(self.page)}
        return await self.post(path, **{**hidden, **fields})

    async def post(self, path: str, **fields: str) -> Response:
        """Any form."""
        headers = {**HTML, "Content-Type": "application/x-www-form-urlencoded"}
        response = await self.client.post(path, content=urlencode(fields), headers=headers)
        self.page = response.text
        return response


_HIDDEN: Final = re.compile(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)"')


@dataclass
class Cli:
    """What the command line has of one attempt to log in."""

    state: str = "st4te"
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    redirect_uri: str = REDIRECT

    def query(self, **changes: str | None) -> dict[str, str]:
        """Of the authorization request; a parameter that is None is left out."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": CLI,
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **changes,
        }
        return {name: value for name, value in query.items() if value is not None}

    def form(self, code: str, **changes: str) -> dict[str, str]:
        """Of the token request."""
        return {
            "grant_type": "authorization_code",
            "client_id": CLI,
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
            **changes,
        }


@dataclass
class Gateway:
    """All of it."""

    store: Store
    app: Any
    tokens: Tokens
    identity: AccountIdentity
    liveness: Liveness
    logins: Logins
    passwords: Counting
    clock: "Clock"
    audit: list[SignIn]
    ways: list[Ways]
    opened: list[AsyncClient]
    #: Of issuers.
    standing: dict[str, str]
    broken: list[OSError] = field(default_factory=list)

    def browser(self, address: str = "192.0.2.7") -> Browser:
        """A new one."""
        transport = ASGITransport(app=self.app, client=(address, 5000))
        client = AsyncClient(transport=transport, base_url=URL)
        self.opened.append(client)
        return Browser(client)

    async def link(self) -> str:
        """Path of a new one-time link."""
        return (await new_link(self.store.people, self.clock.now)).reveal_text()

    async def set_up(self) -> Browser:
        """The local administrator's browser, after the link was used."""
        browser, link = self.browser(), await self.link()
        await browser.get(link)
        assert (await browser.send(link, password=PASSWORD, again=PASSWORD)).status_code == 303
        return browser

    async def code(self, browser: Browser, cli: Cli) -> str:
        """That the person allows."""
        await browser.get("/oauth/authorize", **cli.query())
        done = await browser.send("/oauth/authorize", decision="allow")
        assert done.status_code == 303, done.text
        return answer(done)["code"]

    async def token(self, form: dict[str, str], address: str = "192.0.2.7") -> Response:
        """At the token endpoint."""
        return await self.browser(address).post(PATHS["token_endpoint"], **form)

    async def log_in(self) -> dict[str, Any]:
        """A client's login, as the token endpoint answers."""
        cli = Cli()
        answered = await self.token(cli.form(await self.code(await self.set_up(), cli)))
        assert answered.status_code == 200, answered.text
        return dict(answered.json())

    async def refresh(self, token: str, **more: str) -> Response:
        """With a refresh token."""
        return await self.token({"grant_type": "refresh_token", "client_id": CLI, "refresh_token": token, **more})

    async def who(self, token: str) -> Principal:
        """As the gate sees a token. Raises Refused."""
        return await self.identity.identify(
            Proof(Secret(token), "orders", "192.0.2.7:1", encrypted=True, loopback=False)
        )

    def events(self, *wanted: SignInEvent) -> list[SignIn]:
        """Lines of the audit log."""
        return [line for line in self.audit if line.event in wanted or not wanted]


@dataclass
class Clock:
    """Unix seconds."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


def answer(response: Response) -> dict[str, str]:
    """What a redirect tells the client."""
    return {name: value for name, (value,) in parse_qs(urlsplit(response.headers["location"]).query).items()}


@asynccontextmanager
async def signing_in(home: Path) -> AsyncIterator[Gateway]:
    """A gateway in a directory."""
    async with AsyncExitStack() as stack:
        standing = {"ostiary": "local", "staff": "as of today", "corp": "as of today"}
        clock, audit, broken = Clock(), list[SignIn](), list[OSError]()
        store = await Store.open(f"sqlite://{home}/state.db")
        stack.push_async_callback(store.close)
        passwords = Counting()
        stack.callback(passwords.close)

        def write(line: SignIn) -> None:
            if broken:
                raise broken[0]
            audit.append(line)

        own = OidcIssuer("service-accounts", URL, (URL,))
        tokens = Tokens(
            own,
            SigningKeys(home / "issuer.keys", clock),
            store.accounts,
            600.0,
            clock,
            lambda name: standing.get(name, ""),
        )
        clients, others = Clients(store.accounts, own, clock), Others()
        logins = Logins(store.people, store.accounts, write, LIFETIME, clock, lambda name: standing.get(name, ""))
        grants = PeopleGrants(store.people, logins, URL, clock)
        endpoints = OAuth(
            clients, tokens, others, ("orders", "stock"), clock, TellsTokens(lambda _: None, clock), grants
        )
        ways = [Ways()]
        admins = Admins(store.people, passwords, clock)
        pages = people.People(
            Browsers(logins, URL, plaintext_loopback=False),
            logins,
            admins,
            Passkeys(admins, store.people, store.accounts.spend, URL, clock),
            store.people,
            AuthorizationEndpoint(URL, store.people, clock),
            lambda: ways[0],
            clock,
        )
        app = FastAPI()
        problems.install(app)
        app.include_router(oauth.build(endpoints, Attempts(clock), allow_plaintext_loopback=False))
        page = people.LoginPage(pages)
        app.include_router(people.build(pages, page))
        app.include_router(other_ways.build(lambda: ways[0], Seal(bytes(32)), page, clock, secure=True))
        forms: Sequence[str] = [*PATHS.values(), *PEOPLE_PATHS.values(), *people.FORMS]
        gateway = Gateway(
            store,
            Guard(app, tls=True, slow={}, forms=forms),
            tokens,
            AccountIdentity(clients, tokens, others, clock),
            Liveness(store.accounts, clock),
            logins,
            passwords,
            clock,
            audit,
            ways,
            [],
            standing,
            broken,
        )
        yield gateway
        for client in gateway.opened:
            await client.aclose()
