"""Use-cases of service accounts."""

import json
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ostiary.control import AccountConflict, UnknownAccount, local_operator
from ostiary.control.changes import Changes
from ostiary.recording import Change, ChangeStage
from tests.accounts.fakes import ME, World
from tests.identity.fakes import NOW, ec_key


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Its public part."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


async def test_every_change_is_in_the_audit_log() -> None:
    """Before and after it is made, by whom; neither secret nor digest; what changes nothing is no change."""
    world = World()
    secret = await world.secret(groups=["app"], networks=["10.0.0.0/8"])
    control, dana = world.control, local_operator("dana")
    rotated = await control.rotate(dana, "billing", 3600.0)
    await control.disable(dana, "billing")
    await control.disable(dana, "billing")
    await control.enable(dana, "billing")
    added = await control.add_key(dana, "billing")
    await control.remove_key(dana, "billing", added.key.key_id)
    with pytest.raises(UnknownAccount):
        await control.remove_key(dana, "billing", added.key.key_id)
    changes = ["create", "rotate", "disable", "enable", "add-key", "remove-key", "remove-key"]
    assert [each.reason for each in world.audit[::2]] == changes
    assert [each.stage for each in world.audit] == [ChangeStage.ASKED, ChangeStage.DONE] * 6 + [
        ChangeStage.ASKED,
        ChangeStage.FAILED,
    ]
    assert {each.by for each in world.audit} == {"local:me", "local:dana"}
    assert {each.resource for each in world.audit} == {"service-accounts/billing"}
    created, turned, disabled = world.audit[1], world.audit[3], world.audit[5]
    assert (created.before, created.after["groups"], created.after["networks"]) == ({}, ("app",), ("10.0.0.0/8",))
    assert [key["expires_at"] for key in turned.before["keys"]] == [None]
    assert [key["expires_at"] for key in turned.after["keys"]] == [NOW + 3600, None]
    assert (disabled.before["disabled_at"], disabled.after["disabled_at"]) == (None, NOW)
    told = json.dumps([(each.before, each.after) for each in world.audit])
    assert rotated.secret is not None
    for key in world.repository.accounts["billing"].keys:
        assert key.material not in told
    for shown in (secret, rotated.secret):
        assert shown.reveal_text() not in told
        assert shown.reveal_text() not in repr(world.repository.accounts)


async def test_what_can_t_be_audited_is_not_done() -> None:
    """No account, no key, no change."""
    world = World()
    await world.secret()
    before = dict(world.repository.accounts)

    def full(change: Change) -> None:
        raise OSError(28, "No space left on device")

    control = replace(world.control, changes=lambda: nullcontext(Changes(full)))
    for work in (
        control.create(ME, "other", "team"),
        control.disable(ME, "billing"),
        control.add_key(ME, "billing"),
        control.rotate(ME, "billing", 0.0),
        control.remove_key(ME, "billing", before["billing"].keys[0].key_id),
    ):
        with pytest.raises(OSError, match="No space"):
            await work
    assert world.repository.accounts == before


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
        await world.control.create(ME, **{"name": "billing", "owner": "team", **settings})
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
    made = await world.control.create(ME, "billing", "team", public_key=pem(key))
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
        control.disable(ME, "x"),
        control.add_key(ME, "x"),
        control.rotate(ME, "x", 1.0),
        control.remove_key(ME, "x", "k"),
        control.remove_key(ME, "billing", "k"),
    ):
        with pytest.raises(UnknownAccount):
            await unknown
    for _ in range(7):
        await control.add_key(ME, "billing")
    with pytest.raises(AccountConflict, match="has 8 keys: remove one first"):
        await control.add_key(ME, "billing")
    assert [account.name for account in await control.list()] == ["billing"]
