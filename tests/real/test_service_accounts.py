"""A service account's credentials as PostgreSQL passwords, through `ostiary serve`."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def test_a_secret_is_a_password_until_its_account_is_disabled(served: Served) -> None:
    """Disabling ends the open session within five seconds, and lets no new one in; enabling does."""
    secret = Secret(create(served, "secretive", "--target", "shop", "--network", "127.0.0.0/8")["secret"])
    connection = served.connect(secret)
    assert connection.execute("SELECT count(*) FROM people").fetchone() == (10,)
    assert served.cli("service-accounts", "disable", "secretive").returncode == 0
    began = time.monotonic()

    def ended() -> str:
        try:
            connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            return str(error)
        return ""

    assert 'service account "secretive" is disabled' in until(ended, "the session ends", 5.0)
    assert time.monotonic() - began < 5.0
    connection.close()
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
