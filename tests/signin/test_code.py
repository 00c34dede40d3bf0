"""Logging the command line in: authorization code with PKCE, refresh tokens, and what is tried against them."""

import pytest

from ostiary.core import Refusal, RefusalKind
from ostiary.gate.ports import Refused
from ostiary.oauth import PATHS
from ostiary.oauth.authorize import CLI
from ostiary.recording import SignInEvent
from ostiary.signin.people import Who
from ostiary.store import StoreError
from tests.accounts.fakes import opened
from tests.signin.people_kit import LIFETIME, REDIRECT, URL, Cli, Gateway, answer


async def test_there_and_back(gateway: Gateway) -> None:
    """Sign in, allow, exchange: a token of the same person everywhere, and state and issuer come back."""
    browser, cli = await gateway.set_up(), Cli()
    shown = await browser.get("/oauth/authorize", **cli.query())
    assert shown.status_code == 200
    assert "ostiary:admin" in shown.text
    assert "http://127.0.0.1:4711" in shown.headers["content-security-policy"]
    done = await browser.send("/oauth/authorize", decision="allow")
    assert done.headers["location"].startswith(f"{REDIRECT}?code=")
    told = answer(done)
    assert (told["state"], told["iss"]) == ("st4te", URL)
    answered = await gateway.token(cli.form(told["code"]))
    assert answered.status_code == 200
    given = answered.json()
    assert (given["token_type"], given["expires_in"]) == ("Bearer", 600)
    principal = await gateway.who(given["access_token"])
    assert (principal.id, principal.kind, principal.groups) == ("ostiary:admin", "human", frozenset())
    events = [(line.event, line.by, line.client) for line in gateway.audit]
    assert events == [
        (SignInEvent.SET_UP, "ostiary:admin", "browser"),
        (SignInEvent.SIGNED_IN, "ostiary:admin", "browser"),
        (SignInEvent.GRANTED, "ostiary:admin", CLI),
    ]


async def test_not_signed_in(gateway: Gateway) -> None:
    """The login page first; it says who asks, and leads back to the very request."""
    await gateway.set_up()
    browser, cli = gateway.browser(), Cli()
    sent = await browser.get("/oauth/authorize", **cli.query())
    assert sent.status_code == 303
    page = await browser.get(sent.headers["location"])
    assert "<strong>ostiary-cli</strong> on this machine wants to act as you" in page.text
    done = await browser.send("/login", username="admin", password="a canary with four words")
    assert done.headers["location"].startswith("/oauth/authorize?response_type=code&")
    assert (await browser.get(done.headers["location"])).status_code == 200


async def test_no(gateway: Gateway) -> None:
    """The client is told, and gets nothing."""
    browser, cli = await gateway.set_up(), Cli()
    await browser.get("/oauth/authorize", **cli.query())
    told = answer(await browser.send("/oauth/authorize", decision="deny"))
    assert (told["error"], told["state"], told["iss"]) == ("access_denied", "st4te", URL)
    assert "code" not in told


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:4711/other",
        "http://127.0.0.1:4711/callback/",
        "http://127.0.0.1:4711/callback?x=1",
        "http://127.0.0.1:4711/callback#x",
        "https://127.0.0.1:4711/callback",
        "http://127.0.0.1/callback",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:65536/callback",
        "http://localhost:4711/callback",
        "http://127.0.0.2:4711/callback",
        "http://127.0.0.1.evil.example:4711/callback",
        "http://evil@127.0.0.1:4711/callback",
        "http://127.0.0.1:4711@evil.example/callback",
        "http://127.0.0.1:4711\\@evil.example/callback",
        "http://[::1]@evil.example:1/callback",
        "http://127.0.0.1:4711/callback\n",
        "http://evil.example/callback",
        "//evil.example/callback",
        "javascript:alert(1)",
        "",
    ],
)
async def test_redirects_elsewhere(gateway: Gateway, uri: str) -> None:
    """Anything but a loopback listener at the exact path is shown to the person and told to nobody."""
    browser = await gateway.set_up()
    response = await browser.get("/oauth/authorize", **Cli().query(redirect_uri=uri))
    assert response.status_code == 400
    assert "location" not in response.headers
    assert "loopback listener" in response.text


async def test_ipv6(gateway: Gateway) -> None:
    """The other loopback address."""
    cli = Cli(redirect_uri="http://[::1]:9/callback")
    assert await gateway.code(await gateway.set_up(), cli)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"scope": "all"}, "invalid_scope"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request": "a.b.c"}, "invalid_request"),
    ],
)
async def test_bad_requests(gateway: Gateway, changes: dict[str, str | None], error: str) -> None:
    """Told to the client, without a code, before anybody is asked to sign in."""
    response = await gateway.browser().get("/oauth/authorize", **Cli().query(**changes))
    assert response.status_code == 303
    told = answer(response)
    assert (told["error"], told["state"], told["iss"]) == (error, "st4te", URL)


@pytest.mark.parametrize("changes", [{"client_id": "other"}, {"client_id": None}, {"state": "ü"}])
async def test_strangers(gateway: Gateway, changes: dict[str, str | None]) -> None:
    """A client that is not known is told nothing."""
    response = await gateway.browser().get("/oauth/authorize", **Cli().query(**changes))
    assert response.status_code == 400
    assert "location" not in response.headers


async def test_parameters_twice(gateway: Gateway) -> None:
    """Which redirect would it be?"""
    query = f"{'&'.join(f'{name}={value}' for name, value in Cli().query().items())}&redirect_uri={REDIRECT}"
    assert (await gateway.browser().get(f"/oauth/authorize?{query}")).status_code == 400


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "x" * 43}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"redirect_uri": "http://127.0.0.1:4712/callback"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_request"),
        ({"client_id": "other"}, "invalid_client"),
        ({"client_id": ""}, "invalid_client"),
        ({"code": "nonsense"}, "invalid_grant"),
        ({"audience": "nowhere"}, "invalid_target"),
    ],
)
async def test_bad_exchanges(gateway: Gateway, changes: dict[str, str], error: str) -> None:
    """A code is good for its client, its redirect and its verifier alone."""
    browser, cli = await gateway.set_up(), Cli()
    answered = await gateway.token(cli.form(await gateway.code(browser, cli)) | changes)
    assert answered.json()["error"] == error
    assert "access_token" not in answered.json()


async def test_a_wrong_verifier_uses_the_code_up(gateway: Gateway) -> None:
    """There is no second guess."""
    browser, cli = await gateway.set_up(), Cli()
    code = await gateway.code(browser, cli)
    assert (await gateway.token(cli.form(code, code_verifier="x" * 43))).status_code == 400
    assert (await gateway.token(cli.form(code))).json()["error"] == "invalid_grant"


async def test_a_code_ends(gateway: Gateway) -> None:
    """After a minute."""
    browser, cli = await gateway.set_up(), Cli()
    code = await gateway.code(browser, cli)
    gateway.clock.now += 60
    assert (await gateway.token(cli.form(code))).json()["error_description"] == "the code has expired"


async def test_replay_takes_back_what_the_code_gave(gateway: Gateway) -> None:
    """The second use ends the login of the first: its access token, its refresh token, its sessions."""
    browser, cli = await gateway.set_up(), Cli()
    code = await gateway.code(browser, cli)
    given = (await gateway.token(cli.form(code))).json()
    principal = await gateway.who(given["access_token"])
    assert await gateway.liveness.ended([opened(principal)]) == [""]
    again = await gateway.token(cli.form(code))
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    with pytest.raises(Refused, match="revoked"):
        await gateway.who(given["access_token"])
    assert await gateway.liveness.ended([opened(principal)]) == ["its token was revoked"]
    assert (await gateway.refresh(given["refresh_token"])).status_code == 400
    assert len(gateway.events(SignInEvent.REUSED)) == 1


async def test_refreshing(gateway: Gateway) -> None:
    """Each refresh token serves once and brings the next; the login ends when it must, however often it is renewed."""
    given = await gateway.log_in()
    for _ in range(3):
        gateway.clock.now += 500
        answered = await gateway.refresh(given["refresh_token"], audience="orders")
        assert answered.status_code == 200
        assert answered.json()["refresh_token"] != given["refresh_token"]
        given = answered.json()
    assert (await gateway.who(given["access_token"])).id == "ostiary:admin"
    gateway.clock.now += LIFETIME - 1500 - 10
    given = (await gateway.refresh(given["refresh_token"])).json()
    assert (given["expires_in"], given["refresh_token_expires_in"]) == (10, 10)
    gateway.clock.now += 10
    assert (await gateway.refresh(given["refresh_token"])).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (StoreError("it does not answer"), 503),
        (Refused(Refusal(RefusalKind.INTERNAL, "it can't be told")), 503),
        (Refused(Refusal(RefusalKind.CAPACITY, "too many")), 429),
    ],
)
async def test_what_says_nothing_of_the_login(
    failure: Exception, status: int, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that can't tell is no reason for a client to give its login up; afterwards that is good."""
    given = await gateway.log_in()
    assert given["refresh_token_expires_in"] == LIFETIME

    async def fail(*_: object) -> None:
        raise failure

    with monkeypatch.context() as broken:
        broken.setattr(gateway.store.people, "login", fail)
        answered = await gateway.refresh(given["refresh_token"])
    assert (answered.status_code, answered.json()["error"]) == (status, "temporarily_unavailable")
    assert answered.headers["cache-control"] == "no-store"
    assert (await gateway.refresh(given["refresh_token"])).status_code == 200


async def test_reuse_ends_the_login(gateway: Gateway) -> None:
    """An old refresh token was stolen, or its successor was: neither is good afterwards."""
    given = await gateway.log_in()
    later = (await gateway.refresh(given["refresh_token"])).json()
    assert "used before" in (await gateway.refresh(given["refresh_token"])).json()["error_description"]
    assert (await gateway.refresh(later["refresh_token"])).json()["error"] == "invalid_grant"
    with pytest.raises(Refused, match="revoked"):
        await gateway.who(later["access_token"])
    (line,) = gateway.events(SignInEvent.REUSED)
    assert (line.by, line.reason) == ("ostiary:admin", "a refresh token came a second time")


async def test_a_bad_target_costs_no_refresh_token(gateway: Gateway) -> None:
    """It is found out before the token is used up."""
    given = await gateway.log_in()
    assert (await gateway.refresh(given["refresh_token"], audience="nowhere")).json()["error"] == "invalid_target"
    assert (await gateway.refresh(given["refresh_token"])).status_code == 200


async def test_logging_out(gateway: Gateway) -> None:
    """Revoking the refresh token ends the login; what is no token is answered alike."""
    given = await gateway.log_in()
    form = {"client_id": CLI, "token": given["refresh_token"], "token_type_hint": "refresh_token"}
    for token in (given["refresh_token"], given["refresh_token"], "ort_nonsense", "nonsense"):
        answered = await gateway.browser().post(PATHS["revocation_endpoint"], **{**form, "token": token})
        assert (answered.status_code, answered.json()) == (200, {})
    with pytest.raises(Refused, match="revoked"):
        await gateway.who(given["access_token"])
    assert (await gateway.refresh(given["refresh_token"])).status_code == 400
    assert [line.client for line in gateway.events(SignInEvent.SIGNED_OUT)] == [CLI]


async def test_nothing_secret_is_kept(gateway: Gateway) -> None:
    """Neither the refresh token nor the cookie is in the database, nor in the audit log."""
    given = await gateway.log_in()
    handle, secret = given["refresh_token"].removeprefix("ort_").split(".")
    async with gateway.store.read() as connection:
        for table in ("logins", "login_codes", "local_admins"):
            rows = str((await connection.exec_driver_sql(f"SELECT * FROM {table}")).all())
            assert rows != "[]"
            for canary in (handle, secret, "a canary with four words"):
                assert canary not in rows
    assert handle not in str(gateway.audit)


async def test_no_audit_no_login(gateway: Gateway) -> None:
    """What can't be written down is not given."""
    browser, cli = await gateway.set_up(), Cli()
    code = await gateway.code(browser, cli)
    gateway.broken.append(OSError("the disk is full"))
    answered = await gateway.token(cli.form(code))
    assert (answered.status_code, "access_token" in answered.text) == (503, False)
    gateway.broken.clear()
    async with gateway.store.read() as connection:
        assert (
            await connection.exec_driver_sql(f"SELECT count(*) FROM logins WHERE client = '{CLI}'")
        ).scalar_one() == 0


@pytest.mark.parametrize("now", ["", "as of tomorrow"])
async def test_whose_provider_is_gone(gateway: Gateway, now: str) -> None:
    """Removed, or configured otherwise: tokens, browsers, codes and refresh tokens from before are good no more."""
    who = Who("staff", "ann", (), {}, "staff")
    _, cookie = await gateway.logins.begin(who, "192.0.2.7:1")
    browser, cli = gateway.browser(), Cli()
    browser.client.cookies.set("__Host-ostiary", cookie.reveal_text(), domain="gw.example")
    given = (await gateway.token(cli.form(await gateway.code(browser, cli)))).json()
    again = (await gateway.refresh(given["refresh_token"])).json()
    assert (await gateway.who(again["access_token"])).id == "staff:ann"
    code = await gateway.code(browser, cli)
    gateway.standing["staff"] = now
    with pytest.raises(Refused, match="removed or changed"):
        await gateway.who(again["access_token"])
    assert (await gateway.token(cli.form(code))).json()["error"] == "invalid_grant"
    assert (await gateway.refresh(again["refresh_token"])).json()["error"] == "invalid_grant"
    assert "/login" in (await browser.get("/oauth/authorize", **cli.query())).headers["location"]
