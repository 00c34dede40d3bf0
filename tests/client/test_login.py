"""Logging in, without sockets: whom it believes, what it takes for an answer, how long it waits."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from ostiary.client import login, oauth
from ostiary.client.login import by_device, who
from ostiary.client.loopback import _take
from ostiary.client.oauth import OAuthFailed, Server, discover, origin
from ostiary.client.requests import Answer, RequestFailed, Untrusted
from ostiary.core import Secret

GATEWAY = "https://gw.example:8443"
STATE = Secret("state-canary")


@dataclass
class Scripted:
    """In place of `requests.ask`: one answer after the other."""

    answers: list[Answer | Exception]
    asked: list[tuple[str, str, Mapping[str, str] | None]] = field(default_factory=list)

    async def __call__(self, method: str, url: str, *_: object, form: Any = None, **__: object) -> Answer:
        self.asked.append((method, url, form))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def told(status: int = 200, **body: Any) -> Answer:
    """JSON."""
    return Answer(status, {}, json.dumps(body).encode())


def scripted(monkeypatch: pytest.MonkeyPatch, *answers: Answer | Exception) -> Scripted:
    """What the gateway answers."""
    made = Scripted(list(answers))
    monkeypatch.setattr(oauth, "ask", made)
    monkeypatch.setattr(login, "ask", made)
    return made


def metadata(**more: Any) -> dict[str, Any]:
    """Of a gateway that people can log in to."""
    endpoints = {
        f"{name}_endpoint": f"{GATEWAY}/{name}"
        for name in ("authorization", "token", "device_authorization", "revocation")
    }
    return {"issuer": GATEWAY, **endpoints, **more}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://GW.example:443/", "https://gw.example"),
        ("https://gw.example:8443/x?y", "https://gw.example:8443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_origins(url: str, expected: str) -> None:
    """Default ports are left out."""
    assert origin(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        *("", "gw", "http://gw.example", "http://127.0.0.1.evil.example", "ftp://gw", "https://", "https://[x"),
        *("https://gw@evil.example", "https://gw:x", "https://gw\x1b[2J", "https://gw evil", "https://g\u0432"),
    ],
)
def test_addresses_that_get_no_token(url: str) -> None:
    """Neither in clear across a network, nor where it is not plain where it goes."""
    with pytest.raises(ValueError, match="is not") as caught:
        origin(url)
    assert "\x1b" not in str(caught.value)


async def test_discovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8414: at the host's root, the issuer's path last; only endpoints are kept."""
    asked = scripted(monkeypatch, told(**metadata(jwks_uri="https://cdn.example/jwks", x_endpoint=5))).asked
    found = await discover(f"{GATEWAY}/", "ca.pem")
    assert asked == [("GET", f"{GATEWAY}/.well-known/oauth-authorization-server", None)]
    assert (found.issuer, found.ca) == (GATEWAY, "ca.pem")
    assert sorted(found.endpoints) == [
        f"{name}_endpoint" for name in ("authorization", "device_authorization", "revocation", "token")
    ]
    asked = scripted(monkeypatch, told(**metadata(issuer=f"{GATEWAY}/a"))).asked
    await discover(f"{GATEWAY}/a", None)
    assert asked[0][1] == f"{GATEWAY}/.well-known/oauth-authorization-server/a"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"issuer": "https://evil.example"}, 'says that it is "https://evil.example"'),
        ({"issuer": f"{GATEWAY}/other"}, "says that it is"),
        ({"issuer": f"{GATEWAY}?x"}, "says that it is"),
        ({"issuer": None}, "says that it is nobody"),
        ({"issuer": "https://x\x1b[2J"}, r'says that it is "https://x\\x1b\[2J"'),
        ({"token_endpoint": "https://evil.example/token"}, "another host's token_endpoint"),
        ({"authorization_endpoint": "https://gw.example/x"}, "another host's authorization_endpoint"),
        ({"token_endpoint": "http://gw.example:8443/token"}, "another host's token_endpoint"),
        ({"token_endpoint": "https://gw.example:8443@evil.example/"}, "another host's token_endpoint"),
        ({"x_\x1b[2J_endpoint": "https://evil.example"}, r"another host's x_\\x1b\[2J_endpoint"),
    ],
)
async def test_metadata_that_point_elsewhere(
    changed: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is sent to another host, and nothing that could move a cursor is shown."""
    scripted(monkeypatch, told(**metadata(**changed)))
    with pytest.raises(OAuthFailed, match=why) as caught:
        await discover(GATEWAY, None)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "why", "hint"),
    [
        (told(404, detail="no such resource"), "answered with status 404", "is it the address of the gateway's API?"),
        (Answer(200, {}, b"<html>"), "answered with status 200", "is it the address"),
        (Answer(200, {}, b"[" * 100_000), "answered with status 200", "is it the address"),
        (Untrusted("its certificate is not trusted"), "its certificate is not trusted", "--ca"),
        (RequestFailed("it could not be reached (ConnectError)"), "could not be reached", "is the gateway up"),
    ],
)
async def test_no_gateway_there(
    answer: Answer | Exception, why: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason and the next step."""
    scripted(monkeypatch, answer)
    with pytest.raises(OAuthFailed, match=why) as caught:
        await discover(GATEWAY, None)
    assert hint in caught.value.hint


# ---------------------------------------------------------------- the browser's answer


def request(query: str = f"code=c0de&state=state-canary&iss={GATEWAY}", **changed: str) -> bytes:
    """As the browser sends it."""
    line = changed.get("line", f"GET /callback?{query} HTTP/1.1")
    return f"{line}\r\nHost: {changed.get('host', '127.0.0.1:4711')}\r\nAccept: */*\r\n\r\n".encode()


async def take(raw: bytes) -> "tuple[str, asyncio.Future[Secret]]":
    """The status it is answered with, and what is settled."""
    answered: asyncio.Future[Secret] = asyncio.get_running_loop().create_future()
    status, text = _take(raw, "127.0.0.1:4711", STATE, GATEWAY, answered)
    assert "c0de" not in text
    return status[:3], answered


async def test_the_answer() -> None:
    """A code, with the state and from the issuer; a second one comes too late."""
    status, answered = await take(request())
    assert (status, answered.result()) == ("200", Secret("c0de"))
    assert _take(request(), "127.0.0.1:4711", STATE, GATEWAY, answered)[0].startswith("410")


@pytest.mark.parametrize(
    "raw",
    [
        request("code=evil&state=wrong"),
        request("code=evil"),
        request("error=access_denied&state=stat\u00e9"),
        request("code=evil&state=state-canary&state=state-canary"),
        request("code=c0de&code=evil&state=state-canary&iss=x"),
        request("&".join(f"a{n}=b" for n in range(20)) + "&state=state-canary"),
        request("%ff=1&state=state-canary"),
        request(host="evil.example:4711"),
        request(host="localhost:4711"),
        request(host="127.0.0.1:4711\r\nHost: evil.example"),
        request(line="POST /callback?code=x&state=state-canary HTTP/1.1"),
        request(line="GET /callback/?code=x&state=state-canary HTTP/1.1"),
        request(line="GET http://127.0.0.1:4711/callback?code=x&state=state-canary HTTP/1.1"),
        request(line="GET /favicon.ico HTTP/1.1"),
        request(line="GET /callback?code=x&state=state-canary HTTP/2.0"),
        request(line="GET /callback?code=" + "x" * 9000 + "&state=state-canary HTTP/1.1"),
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"\r\n\r\n",
    ],
)
async def test_what_is_not_the_answer_changes_nothing(raw: bytes) -> None:
    """Any process of this machine can ask, and any page can have the browser ask."""
    status, answered = await take(raw)
    assert status in ("400", "404")
    assert not answered.done()


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("code=c0de&iss=https://other.example", "another issuer answered"),
        ("code=c0de", "another issuer answered"),
        (f"error=access_denied&iss={GATEWAY}", "the login was refused: access_denied"),
        (f"error=x&error_description=no%1b[2J&iss={GATEWAY}", r"the login was refused: no\\x1b\[2J"),
        (f"iss={GATEWAY}", "the answer holds no code"),
    ],
)
async def test_an_answer_that_ends_the_login(query: str, why: str) -> None:
    """With the state it is the gateway's, or passed on by whoever was asked in its place (RFC 9207)."""
    status, answered = await take(request(f"{query}&state=state-canary"))
    assert status == "200"
    with pytest.raises(OAuthFailed, match=why):
        answered.result()


# ---------------------------------------------------------------- a code that is typed in elsewhere

_CODE = {"device_code": "dev1ce", "user_code": "WDJB-MJHT", "verification_uri": f"{GATEWAY}/device"}
_GRANT: dict[str, Any] = {
    "access_token": "access-1",
    "token_type": "Bearer",
    "expires_in": 300,
    "refresh_token": "refresh-1",
}


def refused(code: str) -> Answer:
    """By the token endpoint."""
    return told(400, error=code, error_description=f"{code} \x1b[2J")


async def device(
    monkeypatch: pytest.MonkeyPatch, *answers: Answer | Exception, **said: Any
) -> "tuple[Any, list[float], list[Any]]":
    """The outcome, the pauses, what was shown."""
    made = scripted(monkeypatch, told(**{**_CODE, "expires_in": 60, "interval": 1, **said}), *answers)
    pauses: list[float] = []
    shown: list[Any] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    server = Server(GATEWAY, None, metadata())
    try:
        outcome: Any = await by_device(server, lambda *texts: shown.append(texts), pause)
    except OAuthFailed as error:
        outcome = error
    assert all("dev1ce" not in text for texts in shown for text in texts)
    for method, url, form in made.asked[1:]:
        assert (method, url) == ("POST", f"{GATEWAY}/token")
        assert form == {
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "device_code": "dev1ce",
            "client_id": "ostiary-cli",
        }
    return outcome, pauses, shown


async def test_a_device_waits_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8628 §3.5: five seconds more at every `slow_down`, twice as long after a connection that failed."""
    answers: list[Answer | Exception] = [
        refused("authorization_pending"),
        refused("slow_down"),
        RequestFailed("no"),
        told(**_GRANT),
    ]
    outcome, pauses, shown = await device(monkeypatch, *answers)
    assert (outcome.access, outcome.refresh, outcome.seconds) == (Secret("access-1"), Secret("refresh-1"), 300.0)
    assert pauses == [1.0, 1.0, 6.0, 12.0]
    assert shown == [(f"{GATEWAY}/device", "WDJB-MJHT")]


async def test_a_device_outlasts_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary error is waited out; where the code was used up by it, that is what is told."""
    later = told(503, error="temporarily_unavailable", error_description="the state store failed")
    outcome, pauses, _ = await device(monkeypatch, later, told(**_GRANT))
    assert (outcome.access, pauses) == (Secret("access-1"), [1.0, 2.0])
    outcome, _, _ = await device(monkeypatch, later, refused("invalid_grant"))
    assert "the state store failed" in str(outcome)


@pytest.mark.parametrize(
    ("answers", "said", "why", "pauses"),
    [
        ([refused("authorization_pending")] * 9, {"expires_in": 9}, "before the code ended", 9),
        ([refused("authorization_pending")] * 2, {"expires_in": 9, "interval": None}, "before the code ended", 2),
        ([refused("authorization_pending"), refused("expired_token")], {}, "before the code ended", 2),
        ([refused("access_denied")], {}, "refused by who was asked", 1),
        ([refused("invalid_client")], {}, r"invalid_client \\x1b\[2J", 1),
    ],
)
async def test_a_device_that_gets_nothing(
    answers: Sequence[Answer], said: dict[str, Any], why: str, pauses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with the code, or with a no."""
    outcome, waited, _ = await device(monkeypatch, *answers, **said)
    assert isinstance(outcome, OAuthFailed)
    assert len(waited) == pauses
    with pytest.raises(OAuthFailed, match=why):
        raise outcome


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"verification_uri": "https://evil.example/device"}, "sends people to another host"),
        ({"verification_uri": "javascript:alert(1)"}, "sends people to another host"),
        ({"verification_uri": 5}, "gave no device code"),
        ({"device_code": ""}, "gave no device code"),
        ({"user_code": None}, "gave no device code"),
    ],
)
async def test_a_device_is_not_sent_elsewhere(said: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is shown."""
    outcome, pauses, shown = await device(monkeypatch, **said)
    assert why in str(outcome)
    assert (pauses, shown) == ([], [])


async def test_hostile_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown is harmless, and short."""
    _, _, shown = await device(
        monkeypatch, told(**_GRANT), user_code="A\x1b[2J\u202e" + "B" * 1000, verification_uri=f"{GATEWAY}/d"
    )
    ((_, code),) = shown
    assert code.startswith("A\\x1b[2J\\u202eBB")
    assert len(code) < 100


async def test_who(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's own word; whatever else is an error."""
    asked = scripted(monkeypatch, told(principal="local:dana"), told(401, detail="x"), Answer(200, {}, b"[")).asked
    assert (await who(GATEWAY, Secret("access-1"), None))["principal"] == "local:dana"
    assert asked[0][1] == f"{GATEWAY}/api/v1/me"
    for _ in range(2):
        with pytest.raises(OAuthFailed, match="not who you are"):
            await who(GATEWAY, Secret("access-1"), None)
