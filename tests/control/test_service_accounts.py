"""Use-cases of service accounts."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ostiary.control import AccountConflict, UnknownAccount
from tests.accounts.fakes import World
from tests.identity.fakes import NOW, ec_key


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Its public part."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


async def test_every_change_is_told_with_before_and_after() -> None:
    """Who, what, of whom; neither secret nor digest; what changed nothing is not told."""
    world = World()
    secret = await world.secret(groups=["app"], networks=["10.0.0.0/8"])
    control = world.control
    rotated = await control.rotate("eve", "billing", 3600.0)
    await control.disable("dana", "billing")
    await control.disable("dana", "billing")
    await control.enable("dana", "billing")
    added = await control.add_key("dana", "billing")
    await control.remove_key("dana", "billing", added.key.key_id)
    assert [(by, change) for by, change, *_ in world.audit] == [
        ("me", "service-account.create"),
        ("eve", "service-account.rotate"),
        ("dana", "service-account.disable"),
        ("dana", "service-account.enable"),
        ("dana", "service-account.add-key"),
        ("dana", "service-account.remove-key"),
    ]
    (_, _, _, nothing, created), (_, _, _, before, after), disabled, *_ = world.audit
    assert (nothing, created["groups"], created["networks"]) == ({}, ("app",), ("10.0.0.0/8",))
    assert [key["expires_at"] for key in before["keys"]] == [None]
    assert [key["expires_at"] for key in after["keys"]] == [NOW + 3600, None]
    assert (disabled[3]["disabled_at"], disabled[4]["disabled_at"]) == (None, NOW)
    told = json.dumps([entry[3:] for entry in world.audit])
    assert rotated.secret is not None
    for key in world.repository.accounts["billing"].keys:
        assert key.material not in told
    for shown in (secret, rotated.secret):
        assert shown.reveal_text() not in told
        assert shown.reveal_text() not in repr(world.repository.accounts)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": "Billing"}, "is no name"),
        ({"name": "a:b"}, "is no name"),
        ({"name": "https://x"}, "is no name"),
        ({"owner": ""}, "needs an owner"),
        ({"owner": "a\nb"}, "not plain text"),
        ({"groups": [" app"]}, "not plain text"),
        ({"groups": ["g"] * 65}, "takes 64 groups at most"),
        ({"targets": ["nowhere"]}, 'no target is called "nowhere"'),
        ({"networks": ["10.1.0.1/16"]}, "is no network"),
        ({"networks": ["everywhere"]}, "is no network"),
        ({"expires_at": NOW}, "not in the future"),
        ({"public_key": b"x"}, "neither PEM nor a JWK"),
        ({"public_key": b"[]"}, "neither PEM nor a JWK"),
        ({"public_key": b"{}"}, "can't verify"),
        ({"public_key": b"x" * 20000}, "longer than 16 KiB"),
        ({"public_key": json.dumps(ec_key().as_dict(private=True)).encode()}, "this is a private key"),
        ({"public_key": b"-----BEGIN EC PRIVATE KEY-----"}, "this is a private key"),
        ({"public_key": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}, "is no PEM"),
        ({"public_key": pem(rsa.generate_private_key(65537, 1024))}, "can't verify"),
    ],
)
async def test_what_is_no_account(settings: dict[str, Any], says: str) -> None:
    """A sentence, and nothing was made or told."""
    world = World()
    with pytest.raises(ValueError, match=says):
        await world.control.create("me", **{"name": "billing", "owner": "team", **settings})
    assert (world.repository.accounts, world.audit) == ({}, [])


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["ec", "ed25519", "rsa"],
)
async def test_public_keys_in_pem(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey,
) -> None:
    """As openssl writes them; the private part is never asked for."""
    world = World()
    made = await world.control.create("me", "billing", "team", public_key=pem(key))
    assert made.secret is None
    assert set(json.loads(made.key.material)) <= {"kty", "crv", "x", "y", "n", "e"}


async def test_names_that_are_taken_and_names_that_are_not() -> None:
    """A name is one account's for ever; a key is known by its account only; there are eight."""
    world = World()
    await world.secret()
    control = world.control
    with pytest.raises(AccountConflict, match='a service account "billing" already'):
        await world.secret()
    for unknown in (
        control.show("x"),
        control.disable("me", "x"),
        control.add_key("me", "x"),
        control.rotate("me", "x", 1.0),
        control.remove_key("me", "x", "k"),
        control.remove_key("me", "billing", "k"),
    ):
        with pytest.raises(UnknownAccount):
            await unknown
    for _ in range(7):
        await control.add_key("me", "billing")
    with pytest.raises(AccountConflict, match="has 8 keys: remove one first"):
        await control.add_key("me", "billing")
    assert [account.name for account in await control.list()] == ["billing"]
