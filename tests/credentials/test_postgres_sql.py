"""Names and verifiers in the statements that make and end roles."""

import hashlib
import hmac
from base64 import b64decode

import pytest

from ostiary.core import Secret
from ostiary.credentials import EnvSource, PostgresRoleCredential
from ostiary.credentials import postgres_sql as sql

CREDENTIAL = PostgresRoleCredential("gateway", EnvSource("X"), ("app_rw",))


def test_verifier_is_that_of_the_rfc() -> None:
    """RFC 7677 section 3: the stored key accepts the client's proof, the server key makes the server's signature."""
    text = sql.verifier(Secret("pencil"), b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    method, parameters, keys = text.split("$")
    assert (method, parameters) == ("SCRAM-SHA-256", "4096:W22ZaJ0SNY7soEsUEjb6gQ==")
    stored, server = (b64decode(key) for key in keys.split(":"))
    nonce = b"rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=" + nonce + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=" + nonce
    proof = b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    signature = hmac.digest(stored, message, "sha256")
    assert hashlib.sha256(bytes(a ^ b for a, b in zip(proof, signature, strict=True))).digest() == stored
    assert hmac.digest(server, message, "sha256") == b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


@pytest.mark.parametrize("target", ["orders", 'Ö-rders "; DROP ROLE x; --', "x" * 300, "", "___", "日本"])
def test_role_name_is_plain_and_fits(target: str) -> None:
    """Whatever a target is called: at most 63 bytes of a-z, 0-9 and _; never two leases with one name."""
    name = sql.role_name(target, "0123456789abcdefgh")
    assert len(name) <= 63
    assert name.startswith("ostiary_")
    assert name.endswith("_0123456789abcdefgh")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")


@pytest.mark.parametrize("lease_id", ["", "x" * 19, "a'b", 'a"b', "a b", "a\nb"])
def test_ids_that_can_not_stand_in_a_name_are_refused(lease_id: str) -> None:
    """Lease ids may come from a store one day."""
    with pytest.raises(ValueError, match="lease's id"):
        sql.role_name("orders", lease_id)


def test_a_mark_is_read_back_and_nothing_else_is() -> None:
    """Only the exact comment is ours."""
    assert sql.marked(sql.mark("ab12", "node-1.example")) == "ab12"
    for comment in (None, "", "ostiary lease ab12", "ostiary lease ab12 node n1; more", "x ostiary lease ab12 node n1"):
        assert sql.marked(comment) is None


def test_configured_names_are_quoted() -> None:
    """A group with a quote in its name stays one identifier."""
    odd = PostgresRoleCredential("gateway", None, ('we"ird', "Group One"), connection_limit=3)
    script = sql.create("ostiary_o_1", "c", "v", 1893456000.0, odd)
    assert script == (
        'CREATE ROLE "ostiary_o_1" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT NOREPLICATION NOBYPASSRLS '
        "CONNECTION LIMIT 3 PASSWORD 'v' VALID UNTIL '2030-01-01T00:00:00+00:00' "
        'IN ROLE "we""ird", "Group One"; COMMENT ON ROLE "ostiary_o_1" IS \'c\''
    )


def test_what_is_left_goes_to_the_configured_owner_the_group_or_the_admin() -> None:
    """In that order."""
    for owner, members, expected in (
        ("keeper", ("app",), '"keeper"'),
        (None, ("app", "b"), '"app"'),
        (None, (), "CURRENT_USER"),
    ):
        credential = PostgresRoleCredential("gateway", None, members, owner)
        assert sql.hand_over("r", credential) == f'REASSIGN OWNED BY "r" TO {expected}; DROP OWNED BY "r"'


@pytest.mark.parametrize(
    "wrong",
    [
        {"admin_username": ""},
        {"member_of": ("x" * 64,)},
        {"member_of": ("ä" * 32,)},
        {"reassign_to": "a\0b"},
        {"max_ttl": 0},
        {"connection_limit": 0},
        {"pool": 0},
    ],
)
def test_configuration_postgresql_would_bend_is_refused(wrong: dict[str, object]) -> None:
    """PostgreSQL cuts long names silently: the group would be another one."""
    with pytest.raises(ValueError, match=r"is no name|must be positive"):
        PostgresRoleCredential(**({"admin_username": "gateway"} | wrong))  # type: ignore[arg-type]
