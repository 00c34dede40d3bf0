"""Saved logins: who may read them, how they are renewed, and what two processes do at once."""

import json
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ostiary.client import oauth
from ostiary.client.oauth import Server
from ostiary.client.requests import Answer, RequestFailed
from ostiary.client.saved import Login, NoLogin, SavedLogins, directory_of
from ostiary.client.sources import Kind, NoIdentity, Wanted, find
from ostiary.core import Secret
from tests.client.kit import NOW, jwt, surroundings

API = "https://gw.example:8443"
OTHER = "https://other.example"


def login(api: str = API, access: str = "access-1", refresh: str | None = "refresh-1", seconds: float = 600.0) -> Login:
    """Made at `NOW`."""
    host = api.removeprefix("https://").partition(":")[0]
    kept = None if refresh is None else Secret(refresh)
    server = Server(api, None, {"token_endpoint": f"{api}/token", "revocation_endpoint": f"{api}/revoke"})
    return Login(api, None, f"{host}:5432", "local:dana", server, Secret(access), NOW, NOW + seconds, kept)


@dataclass
class Endpoint:
    """A token endpoint that rotates, and ends a login whose refresh token comes twice."""

    good: str = "refresh-1"
    asked: list[dict[str, str]] = field(default_factory=list)
    answer: Callable[[], Answer] | None = None

    async def __call__(self, method: str, url: str, *_: object, form: dict[str, str], **__: object) -> Answer:
        """In place of `requests.ask`."""
        assert method == "POST"
        self.asked.append(form)
        if url.endswith("/revoke") and self.answer is None:
            return told(200)
        if self.answer is not None:
            return self.answer()
        if form["refresh_token"] != self.good:
            return told(400, error="invalid_grant", error_description="it was used \x1b[2Jbefore")
        self.good = f"refresh-{len(self.asked) + 1}"
        return granted(f"access-{len(self.asked) + 1}", self.good)


def told(status: int, **body: Any) -> Answer:
    """An answer in JSON."""
    return Answer(status, {}, json.dumps(body).encode())


def granted(access: str, refresh: str | None) -> Answer:
    """A grant for ten minutes."""
    return told(200, access_token=access, token_type="bearer", expires_in=600, refresh_token=refresh)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """The one of every gateway."""
    made = Endpoint()
    monkeypatch.setattr(oauth, "ask", made)
    return made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where logins are kept; not there yet."""
    return tmp_path / "state" / "ostiary"


def logins(home: Path, now: float = NOW) -> SavedLogins:
    """At this moment."""
    return SavedLogins(home, lambda: now)


def test_where_they_are_kept() -> None:
    """XDG's directory for state; a relative one counts as none."""
    assert directory_of({"XDG_STATE_HOME": "/x", "HOME": "/h"}) == Path("/x/ostiary")
    for relative in ({}, {"XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "x"}):
        assert directory_of({"HOME": "/h", **relative}) == Path("/h/.local/state/ostiary")


def test_what_is_saved_is_ours_alone(endpoint: Endpoint, home: Path) -> None:
    """Mode 0600 in 0700 whatever the umask; the last login is the current one; nothing half-written stays."""
    before = os.umask(0)
    try:
        assert logins(home).all() == ()
        logins(home).save(login())
        logins(home).save(login(OTHER))
    finally:
        os.umask(before)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()} == {
        "logins.json": 0o600,
        "logins.lock": 0o600,
    }
    assert [each.api for each in logins(home).all()] == [OTHER, API]
    assert logins(home).at(API) == login()
    assert logins(home).behind("other.example:5432") == login(OTHER)
    logins(home).save(login(access="again"))
    assert [each.api for each in logins(home).all()] == [API, OTHER]
    assert logins(home).end(API) == (login(access="again"), "")
    assert [each.api for each in logins(home).all()] == [OTHER]


def _readable(home: Path) -> str:
    (home / "logins.json").chmod(0o644)
    return "others can get at .*logins.json .mode 0644"


def _enterable(home: Path) -> str:
    home.chmod(0o750)
    return "others can get at .*ostiary .mode 0750"


def _linked(home: Path) -> str:
    (home / "logins.json").rename(home / "elsewhere")
    (home / "logins.json").symlink_to(home / "elsewhere")
    return "logins.json is a symbolic link"


def _linked_directory(home: Path) -> str:
    home.rename(home.parent / "elsewhere")
    home.symlink_to(home.parent / "elsewhere")
    return "ostiary is a symbolic link"


def _foreign(home: Path) -> str:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(home / "logins.json", 65534, -1)
    return "belongs to another user"


def _pipe(home: Path) -> str:
    (home / "logins.json").unlink()
    os.mkfifo(home / "logins.json", 0o600)
    return "is no file"


def _garbage(home: Path) -> str:
    (home / "logins.json").write_text('{"logins": [{"api": 1}]}')
    return "is not what `ostiary login` wrote"


def _deep(home: Path) -> str:
    (home / "logins.json").write_text("[" * 100_000)
    return "is not what `ostiary login` wrote"


def _huge(home: Path) -> str:
    (home / "logins.json").write_text('{"logins": []' + " " * (1 << 20) + "}")
    return "is not what `ostiary login` wrote"


@pytest.mark.parametrize(
    "spoil", [_readable, _enterable, _linked, _linked_directory, _foreign, _pipe, _garbage, _deep, _huge]
)
def test_what_is_not_as_it_was_left_is_not_used(spoil: Callable[[Path], str], home: Path) -> None:
    """Nor written over: a sentence says what to look at, and holds no token."""
    logins(home).save(login())
    why = spoil(home)
    for act in (lambda: logins(home).use(), lambda: logins(home).save(login())):
        with pytest.raises(NoLogin, match=why) as caught:
            act()
        assert caught.value.hint
        assert "access-1" not in str(caught.value) + caught.value.hint


def test_renewed_when_it_has_to_be(endpoint: Endpoint, home: Path) -> None:
    """A minute before its end, or at half the life of a short one; each refresh token is sent once."""
    logins(home).save(login())
    assert logins(home, NOW + 539).use().access == Secret("access-1")
    assert endpoint.asked == []
    renewed = logins(home, NOW + 541).use()
    assert (renewed.access, renewed.refresh) == (Secret("access-2"), Secret("refresh-2"))
    assert logins(home, NOW + 600).use(API) == renewed
    assert endpoint.asked == [{"grant_type": "refresh_token", "refresh_token": "refresh-1", "client_id": "ostiary-cli"}]
    logins(home).save(login(access="short", seconds=5.0, refresh="refresh-2"))
    assert logins(home, NOW + 2).use().access == Secret("short")
    assert logins(home, NOW + 3).use().access == Secret("access-3")


def test_renewing_leaves_the_order_as_it_is(endpoint: Endpoint, home: Path) -> None:
    """Another gateway's login does not become the current one by being used."""
    logins(home).save(login())
    logins(home).save(login(OTHER, refresh=None))
    logins(home, NOW + 599).use(API)
    assert [each.api for each in logins(home).all()] == [OTHER, API]


def test_a_server_that_does_not_rotate(endpoint: Endpoint, home: Path) -> None:
    """The refresh token stays (RFC 6749 §6)."""
    endpoint.answer = lambda: told(200, access_token="access-2", token_type="Bearer", expires_in=600)
    logins(home).save(login())
    assert logins(home, NOW + 599).use().refresh == Secret("refresh-1")


def test_many_at_once_renew_once(endpoint: Endpoint, home: Path) -> None:
    """The lock, and reading again behind it: reuse would end the login."""
    logins(home).save(login())
    barrier, found = threading.Barrier(8), []

    def use() -> None:
        barrier.wait()
        found.append(logins(home, NOW + 599).use())

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(endpoint.asked) == 1
    assert {each.access.reveal() for each in found} == {b"access-2"}


def test_a_login_that_was_ended(endpoint: Endpoint, home: Path) -> None:
    """It says so, in harmless words, and the dead refresh token is not sent again; another gateway's stays."""
    logins(home).save(login(OTHER))
    logins(home).save(login(refresh="stolen"))
    with pytest.raises(NoLogin) as caught:
        logins(home, NOW + 599).use()
    assert str(caught.value) == (f"the login at {API} has ended: {API} refused it: it was used \\x1b[2Jbefore")
    assert caught.value.hint == f"log in again: `ostiary login {API}`"
    with pytest.raises(NoLogin, match=r"has ended$"):
        logins(home, NOW + 599).use()
    assert len(endpoint.asked) == 1
    assert logins(home).use(OTHER).access == Secret("access-1")


@pytest.mark.parametrize(
    "body",
    [
        {"access_token": "a", "token_type": "mac", "expires_in": 5},
        {"access_token": "a b", "token_type": "Bearer", "expires_in": 5},
        {"access_token": "a\r\nX: y", "token_type": "Bearer", "expires_in": 5},
        {"access_token": "", "token_type": "Bearer", "expires_in": 5},
        {"access_token": "a" * 40_000, "token_type": "Bearer", "expires_in": 5},
        {"access_token": "a", "token_type": "Bearer", "expires_in": True},
        {"access_token": "a", "token_type": "Bearer", "expires_in": -1},
        {"access_token": "a", "token_type": "Bearer", "expires_in": 1e300},
        {"access_token": "a", "token_type": "Bearer", "expires_in": 5, "refresh_token": "\x1b"},
        {"access_token": "a", "token_type": "Bearer"},
        {},
    ],
)
def test_answers_that_are_no_grant(body: dict[str, Any], endpoint: Endpoint, home: Path) -> None:
    """Nothing of it is kept; the login is as it was."""
    endpoint.answer = lambda: told(200, **body)
    logins(home).save(login())
    with pytest.raises(NoLogin, match="could not be renewed"):
        logins(home, NOW + 600).use()
    assert logins(home).at(API) == login()


def test_a_gateway_that_is_away(endpoint: Endpoint, home: Path) -> None:
    """The access token serves to its end; then the reason is told, and the login is kept."""

    def away() -> Answer:
        raise RequestFailed("it could not be reached (ConnectError)")

    endpoint.answer = away
    logins(home).save(login())
    assert logins(home, NOW + 599).use().access == Secret("access-1")
    with pytest.raises(NoLogin, match=r"could not be renewed: .*could not be reached"):
        logins(home, NOW + 600).use()
    assert logins(home).at(API) == login()


@pytest.mark.parametrize(
    ("status", "error"),
    [(503, "temporarily_unavailable"), (429, "slow_down"), (400, "invalid_request"), (401, "invalid_client")],
)
def test_a_gateway_that_can_not_tell(status: int, error: str, endpoint: Endpoint, home: Path) -> None:
    """Nothing but `invalid_grant` ends a login: it is kept, and renewed when the gateway can again."""
    endpoint.answer = lambda: told(status, error=error)
    logins(home).save(login())
    assert logins(home, NOW + 599).use().access == Secret("access-1")
    with pytest.raises(NoLogin, match="could not be renewed"):
        logins(home, NOW + 600).use()
    assert logins(home).at(API) == login()
    endpoint.answer = None
    assert logins(home, NOW + 600).use().refresh == Secret(endpoint.good)


@pytest.mark.parametrize(("said", "until"), [(3600, NOW + 4200), ("soon", NOW + 9000), (None, NOW + 9000)])
def test_when_the_login_ends(said: object, until: float, endpoint: Endpoint, home: Path) -> None:
    """As the gateway said last; what is no number of seconds says nothing."""
    endpoint.answer = lambda: told(
        200, access_token="a", token_type="bearer", expires_in=600, refresh_token="r", refresh_token_expires_in=said
    )
    logins(home).save(replace(login(), until=NOW + 9000))
    assert logins(home, NOW + 600).use().until == until
    assert logins(home).at(API).until == until  # type: ignore[union-attr]  # it is there


def test_a_process_that_never_lets_go(home: Path) -> None:
    """The wait is bounded, and the file is named."""
    logins(home).save(login(seconds=1.0))
    waits: list[float] = []
    with logins(home)._locked():
        waiting = SavedLogins(home, lambda: NOW + 2, waits.append, patience=0.0)
        with pytest.raises(NoLogin, match=r"another process has held .*logins\.lock"):
            waiting.use()


def test_ended(endpoint: Endpoint, home: Path) -> None:
    """The refresh token is revoked, and the login is gone; a second time there is none."""
    assert logins(home).end() == (None, "")
    logins(home).save(login())
    assert logins(home).end() == (login(), "")
    assert endpoint.asked == [{"token": "refresh-1", "token_type_hint": "refresh_token", "client_id": "ostiary-cli"}]
    assert logins(home).end() == (None, "")
    with pytest.raises(NoLogin, match="nobody is logged in"):
        logins(home).use()


def test_ended_without_the_gateway(endpoint: Endpoint, home: Path) -> None:
    """It is gone from this machine, and the reason why it may live on is told."""

    def away() -> Answer:
        raise RequestFailed("it could not be reached (ConnectError)")

    endpoint.answer = away
    logins(home).save(login())
    assert logins(home).end() == (
        login(),
        f"the gateway could not be told ({API}: it could not be reached (ConnectError))",
    )
    assert logins(home).all() == ()


async def test_as_the_last_source(home: Path) -> None:
    """After everything that the machine has; with its end, and nothing of it in the errors."""
    token = jwt(iss=API, aud=API, exp=NOW + 600)
    logins(home).save(login(access=token))
    state = {"XDG_STATE_HOME": str(home.parent)}
    found = await find(Wanted("ostiary"), surroundings(state))
    assert (found.secret, found.source, found.expires_at) == (Secret(token), f"the login at {API}", NOW + 600)
    ambient = await find(Wanted("ostiary"), surroundings({**state, "OSTIARY_TOKEN": jwt()}))
    assert ambient.secret == Secret(jwt())
    logins(home).save(login(access="opaque"))
    assert (await find(Wanted(API), surroundings(state))).expires_at == NOW + 600


async def test_a_login_goes_to_its_own_gateway_only(home: Path) -> None:
    """Neither to another one, nor to whoever is another audience."""
    logins(home).save(login())
    logins(home).save(login(OTHER, access="access-other"))
    here = surroundings({"XDG_STATE_HOME": str(home.parent)})
    found = await find(Wanted("ostiary", gateway="gw.example:5432"), here)
    assert found.secret == Secret("access-1")
    for wanted, why in (
        (Wanted("ostiary", gateway="evil.example:5432"), "nobody is logged in at the gateway evil.example:5432"),
        (Wanted("https://sts.example"), 'is for that gateway, not for "https://sts.example"'),
        (Wanted("ostiary", issuer="https://idp.example"), "its issuer is not told"),
    ):
        with pytest.raises(NoIdentity) as caught:
            await find(replace(wanted, source=Kind.LOGIN), here)
        assert any(why in line for line in caught.value.looked)


async def test_a_login_that_can_not_be_used_says_what_to_do(home: Path) -> None:
    """As an error with its own next step."""
    logins(home).save(login(refresh=None, seconds=-1.0))
    with pytest.raises(NoIdentity, match=r"login: the login at .* has ended") as caught:
        await find(Wanted("ostiary"), surroundings({"XDG_STATE_HOME": str(home.parent)}))
    assert caught.value.hint == f"log in again: `ostiary login {API}`"
