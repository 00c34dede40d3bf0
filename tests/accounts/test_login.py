"""Who gets in with a client secret or an assertion, and what everybody else is told."""

import json
from typing import Any

import pytest

from ostiary.core import PrincipalKind, Secret
from ostiary.gate.ports import Refused
from ostiary.identity.key_set import ALGORITHMS
from tests.accounts.fakes import ME, SOURCE, World
from tests.identity.fakes import NOW, b64, ec_key, sign

UNPROVEN = "token refused: it proves no service account"


@pytest.fixture
def world() -> World:
    """Nobody yet."""
    return World()


async def why(world: World, token: Secret, **more: Any) -> str:
    """How a login that must fail is refused."""
    with pytest.raises(Refused) as caught:
        await world.login(token, **more)
    return caught.value.refusal.message


async def test_a_secret_is_a_principal(world: World) -> None:
    """Its name, its groups, its owner and its key; its use is noted."""
    principal = await world.login(await world.secret(groups=["app"]))
    assert (principal.id, principal.kind) == ("service-accounts:billing", PrincipalKind.WORKLOAD)
    assert principal.groups == {"app"}
    (key,) = world.repository.accounts["billing"].keys
    assert principal.claims == {"owner": "team-billing", "key": key.key_id}
    assert principal.proof_id == key.key_id
    assert principal.session_until == NOW + 12 * 3600
    assert key.last_used_at == NOW


async def test_a_session_ends_with_account_and_key(world: World) -> None:
    """Whichever ends first."""
    assert (await world.login(await world.secret(expires_at=NOW + 600))).session_until == NOW + 600
    key = await world.control.add_key(ME, "billing", expires_at=NOW + 60)
    assert key.secret is not None
    assert (await world.login(key.secret)).session_until == NOW + 60


async def test_an_assertion_is_a_principal_once(world: World) -> None:
    """Bound to the gateway, short, and used up."""
    await world.signer(groups=["app"])
    principal = await world.login(world.assertion())
    assert (principal.id, principal.proof_id, principal.expires_at) == ("service-accounts:billing", "one", NOW + 60)
    assert await why(world, world.assertion()) == "token refused: this assertion was used before"
    assert (await world.login(world.assertion(jti="two", aud=[world.url]))).proof_id == "two"


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"sub": "other"}, "sub must be as iss"),
        ({"sub": None}, "sub must be as iss"),
        ({"aud": "https://other.example"}, "another audience"),
        ({"aud": ["https://gw.example", "https://other.example"]}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"exp": None}, "no expiry"),
        ({"exp": NOW - 31}, "expired"),
        ({"exp": NOW + 331}, "lives 300 seconds at most"),
        ({"nbf": NOW + 60}, "not valid yet"),
        ({"iat": NOW + 60}, "issued in the future"),
        ({"jti": None}, "needs an id"),
        ({"jti": "x" * 129}, "needs an id"),
        ({"iss": "nobody"}, UNPROVEN),
    ],
)
async def test_assertions_that_are_none(world: World, claims: dict[str, Any], said: str) -> None:
    """Each rule of RFC 7523 section 3, and nothing is used up by it."""
    await world.signer()
    assert said in await why(world, world.assertion(**claims))
    assert world.repository.used_up == {}


async def test_whose_key_it_is(world: World) -> None:
    """Another account's key, an unknown key, a key that expired or was removed prove nothing; nor does an HMAC."""
    await world.signer()
    other = ec_key()
    assert await why(world, world.assertion(other)) == UNPROVEN
    key = world.repository.accounts["billing"].keys[0].key_id
    await world.control.rotate(ME, "billing", 60.0)
    await world.login(world.assertion())
    world.now = NOW + 60
    assert await why(world, world.assertion(jti="two")) == UNPROVEN
    world.now = NOW
    await world.control.remove_key(ME, "billing", key)
    assert await why(world, world.assertion(jti="three")) == UNPROVEN
    unsigned = sign({"alg": "none"}, {"iss": "billing"}, other)
    assert "signature algorithm" in await why(world, Secret(unsigned))


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_an_assertion_of_nobody_is_verified_all_the_same(
    world: World, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, by every algorithm: neither time nor words tell that there is no such account, or no such key."""
    await world.signer()
    await world.secret("secretive")
    tried: list[str] = []
    real = type(ALGORITHMS[algorithm]).verify

    def verify(self: Any, signed: bytes, signature: bytes, key: Any) -> bool:
        tried.append(self.name)
        return bool(real(self, signed, signature, key))

    monkeypatch.setattr(type(ALGORITHMS[algorithm]), "verify", verify)
    header = b64(json.dumps({"alg": algorithm, "kid": "x"}))
    for name in ("nobody", "secretive", "billing"):
        forged = Secret(f"{header}.{b64(json.dumps({'iss': name}))}.{b64(b'x' * 64)}")
        assert await why(world, forged) == UNPROVEN
    assert tried == [algorithm] * 3


async def test_a_gateway_without_a_url_takes_no_assertion() -> None:
    """There is nothing they could be made for."""
    world = World(url="")
    await world.signer()
    assert "it has none" in await why(world, world.assertion(aud=""))


async def test_nobody_learns_what_there_is(world: World) -> None:
    """Unknown, wrong, removed, expired: the same words. A public key's id is no way in."""
    secret = await world.secret()
    text = secret.reveal_text()
    wrong = Secret(text[:-4] + ("AAAA" if not text.endswith("AAAA") else "BBBB"))
    unknown = Secret("osa_" + "0" * 16 + "_" + "A" * 43)
    for token in (wrong, unknown, Secret("osa_"), Secret(text + "A"), Secret(text.upper().replace("OSA", "osa"))):
        assert await why(world, token) == UNPROVEN
    await world.signer("signs")
    key_id = world.repository.accounts["signs"].keys[0].key_id
    assert await why(world, Secret(f"osa_{key_id}_{'A' * 43}")) == UNPROVEN
    await world.control.rotate(ME, "billing", 10.0)
    await world.login(secret)
    world.now += 10
    assert await why(world, secret) == UNPROVEN


async def test_who_has_proven_an_account_is_told_what_is_wrong(world: World) -> None:
    """Disabled, expired, of another target, from elsewhere."""
    secret = await world.secret(targets=["orders"], networks=["192.0.2.0/24", "2001:db8::/32"], expires_at=NOW + 100)
    await world.login(secret)
    await world.login(secret, source="2001:db8::7:5000")
    await world.login(secret, source="::ffff:192.0.2.9:5000")
    for source in ("198.51.100.1:5000", "cli", "2001:db9::1:5000"):
        assert "may not come from this address" in await why(world, secret, source=source)
    assert 'is not for target "stock"' in await why(world, secret, target="stock")
    await world.control.disable(ME, "billing")
    assert await why(world, secret) == 'token refused: service account "billing" is disabled'
    await world.control.enable(ME, "billing")
    await world.login(secret)
    world.now += 100
    assert await why(world, secret) == 'token refused: service account "billing" has expired'


async def test_an_issuer_said_twice(world: World) -> None:
    """Whoever is taken for its issuer, it is refused as what can be read in two ways."""
    await world.signer()
    payload = '{"iss": "https://issuer.example", "iss": "billing", "sub": "billing"}'
    assert "in one way only" in await why(world, Secret(sign({"alg": "ES256"}, payload, world.key)))


async def test_not_without_tls(world: World) -> None:
    """Nothing is looked at that others could have read."""
    assert "without TLS" in await why(world, await world.secret(), encrypted=False)


async def test_what_is_no_account_s_goes_on(world: World) -> None:
    """Tokens whose issuer is a URL, or is missing, are for the other issuers, and so is what is no JWT."""
    unread, endless = f"a.{b64('[]')}.c", "a." + b64('{"iss": "billing"}' + " " * 20000) + ".c"
    tokens = [Secret(sign({"alg": "ES256"}, each, world.key)) for each in ({"iss": "https://issuer.example"}, {})]
    for token in (*tokens, *map(Secret, ("PHNhbWw-", "", "a.b", "a.b.c", "a.b.c.d", unread, endless))):
        assert (await world.login(token)).id == "corp:dana"
        assert world.others.asked[-1].source == SOURCE
