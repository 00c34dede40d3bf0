"""A service account's credentials as PostgreSQL passwords, through `ostiary serve`."""

import ssl
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from ostiary.core import Secret
from tests.identity.fakes import ec_key, sign
from tests.real.servers import PostgresServer
from tests.real.serving import Served, issuing, prepare, until

URL = "https://gw.example"


@pytest.fixture(scope="module")
def served(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One gateway, which has a URL."""
    prepare(postgres15, "accounts")
    with issuing() as issuer:
        served = Served(tmp_path_factory.mktemp("accounts") / "home", postgres15, "accounts", issuer)
        served.config.write_text(served.config.read_text().replace("server:\n", f"server:\n  url: {URL}\n", 1))
        served.start()
        try:
            yield served
        finally:
            assert served.end() == 0
            said = served.log.read_text()
            assert "Traceback" not in said
            assert "osa_" not in said
            assert served.cli("audit", "verify").returncode == 0


def create(served: Served, name: str, *more: str) -> Any:
    """An account in the group that may work."""
    return served.json("service-accounts", "create", name, "--owner", "tests", "--group", "app", *more)


def answer(served: Served, token: Secret) -> str:
    """`ok`, or how the login is refused."""
    try:
        with served.connect(token) as connection:
            connection.execute("SELECT count(*) FROM people")
    except psycopg.OperationalError as error:
        return str(error)
    return "ok"


def ending(connection: "psycopg.Connection[tuple[Any, ...]]") -> str:
    """How the session ends, within five seconds."""

    def ended() -> str:
        try:
            connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            connection.close()
            return str(error)
        return ""

    return until(ended, "the session ends", 5.0)


def test_a_secret_is_a_password_until_its_account_is_disabled(served: Served) -> None:
    """Disabling ends the open session within five seconds, and lets no new one in; enabling does."""
    secret = Secret(create(served, "secretive", "--target", "shop", "--network", "127.0.0.0/8")["secret"])
    connection = served.connect(secret)
    assert connection.execute("SELECT count(*) FROM people").fetchone() == (10,)
    assert served.cli("service-accounts", "disable", "secretive").returncode == 0
    assert 'service account "secretive" is disabled' in ending(connection)
    assert 'service account "secretive" is disabled' in answer(served, secret)
    assert served.newest()["principal"] == "service-accounts:secretive"
    assert served.cli("service-accounts", "enable", "secretive").returncode == 0
    assert answer(served, secret) == "ok"
    used = served.json("service-accounts", "show", "secretive")["keys"][0]["last_used_at"]
    assert used == pytest.approx(time.time(), abs=70)


def test_rotation_overlaps(served: Served) -> None:
    """Old and new are both good for a while, then the new one alone."""
    old = Secret(create(served, "rotating")["secret"])
    new = Secret(served.json("service-accounts", "rotate", "rotating", "--overlap", "1h")["secret"])
    assert [answer(served, each) for each in (old, new)] == ["ok", "ok"]
    newest = Secret(served.json("service-accounts", "rotate", "rotating", "--overlap", "0s")["secret"])
    assert "proves no service account" in answer(served, old)
    assert "proves no service account" in answer(served, new)
    assert answer(served, newest) == "ok"


def test_an_assertion_is_a_password_once(served: Served, tmp_path: Path) -> None:
    """`private_key_jwt`, as the program signs it itself; the second use is a replay."""
    key = ec_key()
    path = tmp_path / "public.pem"
    path.write_bytes(key.as_pem(private=False))
    create(served, "signing", "--public-key", str(path))

    def assertion(jti: str, audience: str = URL) -> Secret:
        claims = {"iss": "signing", "sub": "signing", "aud": audience, "exp": int(time.time()) + 60, "jti": jti}
        return Secret(sign({"alg": "ES256", "typ": "JWT"}, claims, key))

    first = assertion("1")
    assert answer(served, first) == "ok"
    assert "was used before" in answer(served, first)
    assert answer(served, assertion("2")) == "ok"
    assert "another audience" in answer(served, assertion("3", "https://other.example"))


def test_bounds_hold_at_connect(served: Served) -> None:
    """From another network, nobody gets in."""
    made = create(served, "bounded", "--network", "10.0.0.0/8")
    assert "may not come from this address" in answer(served, Secret(made["secret"]))


# ---------------------------------------------------------------- the token endpoint


def post(served: Served, path: str, form: dict[str, str], auth: tuple[str, str] | None = None) -> httpx2.Response:
    """A form, over the API's TLS."""
    context = ssl.create_default_context(cafile=str(served.home / "gateway.crt"))
    url = f"https://127.0.0.1:{served.api_port}{path}"
    return httpx2.post(url, data=form, auth=auth, verify=context, timeout=20)


def test_a_token_of_the_endpoint_is_a_password(served: Served) -> None:
    """Client credentials, login, revocation: the session ends within five seconds and the token is good no more."""
    secret = create(served, "fetching", "--target", "shop")["secret"]
    grant = {"grant_type": "client_credentials"}
    got = post(served, "/oauth/token", grant, ("fetching", secret))
    assert (got.status_code, got.headers["cache-control"]) == (200, "no-store")
    token = Secret(got.json()["access_token"])
    connection = served.connect(token)
    assert connection.execute("SELECT count(*) FROM people").fetchone() == (10,)
    told = post(served, "/oauth/introspect", {"token": token.reveal_text()}, ("fetching", secret)).json()
    assert (told["active"], told["sub"], told["targets"]) == (True, "service-accounts:fetching", ["shop"])
    assert post(served, "/oauth/revoke", {"token": token.reveal_text()}, ("fetching", secret)).status_code == 200
    assert "its token was revoked" in ending(connection)
    assert "was revoked" in answer(served, token)
    assert answer(served, Secret(secret)) == "ok"
    wrong = post(served, "/oauth/token", grant, ("fetching", secret[:-4] + "0000"))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert wrong.headers["www-authenticate"].startswith("Basic")
    refused = served.events("oauth: refused")[-1]
    assert (refused["path"], refused["why"], refused["source"][:10]) == ("/oauth/token", "invalid_client", "127.0.0.1:")
    assert served.newest()["principal"] == "service-accounts:fetching"


def test_an_issuer_s_token_is_exchanged(served: Served) -> None:
    """The same principal with the same groups, bound to the target; not from a token that is wrong."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": served.token().reveal_text(),
        "audience": "shop",
    }
    got = post(served, "/oauth/token", form).json()
    assert answer(served, Secret(got["access_token"])) == "ok"
    assert served.newest()["principal"] == "ci:job"
    again = post(served, "/oauth/token", {**form, "subject_token": got["access_token"]})
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    late = post(served, "/oauth/token", {**form, "subject_token": served.token(lifetime=-5).reveal_text()})
    assert "expired" in late.json()["error_description"]


def test_what_there_is(served: Served) -> None:
    """Metadata and keys need no credential; the key that signs is of mode 0600; a body must be a form."""
    document = served.api("GET", "/.well-known/oauth-authorization-server", None).json()
    assert (document["issuer"], document["token_endpoint"]) == (URL, f"{URL}/oauth/token")
    (key,) = served.api("GET", "/oauth/jwks", None).json()["keys"]
    assert (key["alg"], "d" in key) == ("ES256", False)
    assert stat.S_IMODE((served.home / "issuer.keys").stat().st_mode) == 0o600
    assert served.api("POST", "/oauth/token", None, {"grant_type": "client_credentials"}).status_code == 415
    assert "/oauth/token" not in served.api("GET", "/api/v1/openapi.json", None).text
