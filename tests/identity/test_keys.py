"""An issuer's keys over time: rotation, outages, storms, and issuers that answer badly."""

import asyncio
import json
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey, RSAKey

from ostiary.gate.ports import Refused
from ostiary.identity import FetchError, OidcIssuer
from ostiary.identity.fetch import MAX_DOCUMENT_BYTES, PUBLIC, Access
from ostiary.identity.keys import DISCOVERED, FRESH, PAUSE, RETRY, STALE, check_files
from tests.identity.fakes import NOW, URL, AnyKey, World, ec_key, sign

JWKS = f"{URL}/jwks"
DISCOVERY = f"{URL}/.well-known/openid-configuration"


async def refusal(world: World, token: str) -> str:
    """The message this token is refused with."""
    with pytest.raises(Refused) as refused:
        await world.identify(token)
    return refused.value.refusal.message


async def test_keys_are_fetched_once_while_fresh() -> None:
    """A hundred logins cost one discovery and one key set; the next fetch comes when they are old."""
    world = World()
    for _ in range(100):
        await world.identify(world.token())
    assert world.web.asked == {DISCOVERY: 1, JWKS: 1}
    world.now += FRESH
    await world.identify(world.token())
    assert world.web.asked == {DISCOVERY: 1, JWKS: 2}
    world.now += DISCOVERED
    await world.identify(world.token())
    assert world.web.asked == {DISCOVERY: 2, JWKS: 3}


async def test_a_new_key_is_found_and_an_old_one_is_forgotten() -> None:
    """Rotation: the new key works at its first token, the withdrawn one ends with that fetch."""
    world = World()
    old = world.token()
    await world.identify(old)
    world.now += PAUSE
    new_key = ec_key("k2")
    world.web.publish(URL, new_key)
    assert await world.identify(world.token({"kid": "k2"}, new_key))
    assert "it names no key" in await refusal(world, old)


async def test_a_withdrawn_key_is_gone_when_no_longer_fresh() -> None:
    """Without any unknown kid, withdrawal takes effect after FRESH seconds."""
    world = World()
    await world.identify(world.token())
    world.web.publish(URL, ec_key("k2"))
    world.now += FRESH - 1
    assert await world.identify(world.token())
    world.now += 1
    assert "it names no key" in await refusal(world, world.token())


async def test_a_storm_of_unknown_kids_is_one_fetch_a_pause() -> None:
    """Ten thousand random key ids in a minute cost the issuer at most one fetch each PAUSE."""
    world = World()
    await world.identify(world.token())
    key = ec_key()
    tokens = [world.token({"kid": f"r{index}"}, key) for index in range(100)]
    for second in range(60):
        world.now = NOW + second
        for token in tokens:
            await refusal(world, token)
        assert await world.identify(world.token())
    assert world.web.asked[JWKS] == 60 / PAUSE


async def test_a_flood_while_the_issuer_fails_is_one_fetch_a_minute() -> None:
    """Keys that are held serve good tokens, and bad ones of all sorts make nobody ask more often."""
    world = World()
    await world.identify(world.token())
    world.web.pages[JWKS] = FetchError("it answered with status 503")
    other = ec_key()
    bad = [world.token({}, other), world.token({"kid": "x"}), world.token({"kid": "y"}, other), "a.b.c", "x"]
    for second in range(600):
        world.now = NOW + second
        for token in bad:
            await refusal(world, token)
        assert await world.identify(world.token())
    assert world.web.asked[JWKS] <= 600 / 60
    assert world.web.asked[DISCOVERY] <= 600 / 60


async def test_a_failing_issuer_is_not_hammered() -> None:
    """Failures pause as well, and each waiting client reads the reason."""
    world = World()
    world.web.pages[DISCOVERY] = FetchError("it answered with status 503")
    for second in range(int(RETRY)):
        world.now = NOW + second
        message = await refusal(world, world.token())
        assert message.endswith('the keys of issuer "ci" are not to be had: it answered with status 503')
    assert world.web.asked == {DISCOVERY: 1}
    world.web.publish(URL, world.key)
    world.now += 1
    assert await world.identify(world.token())


async def test_all_who_wait_share_one_fetch_and_one_may_leave() -> None:
    """Fifty clients at once are one fetch; the first one's going away ends nobody else's login."""
    world = World()
    world.web.gate = asyncio.Event()
    waiting = [asyncio.create_task(world.identify(world.token())) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    world.web.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert not [result for result in results[1:] if isinstance(result, BaseException)]
    assert world.web.asked == {DISCOVERY: 1, JWKS: 1}


async def test_keys_outlive_an_outage_for_a_bounded_time() -> None:
    """Old keys serve while the issuer is down, until they are STALE; then its tokens are refused."""
    world = World()
    await world.identify(world.token())
    for url in (DISCOVERY, JWKS):
        world.web.pages[url] = ConnectionError("x")
    world.now = NOW + STALE - 1
    assert await world.identify(world.token())
    world.now = NOW + STALE
    assert "it could not be asked (ConnectionError)" in await refusal(world, world.token())


async def test_a_clock_set_back_makes_nothing_fresh() -> None:
    """Keys fetched in the future are not fresh, and the pause does not last until then."""
    world = World()
    await world.identify(world.token())
    world.now = NOW - 86400
    await world.identify(world.token())
    assert world.web.asked[JWKS] == 2


async def test_a_hanging_issuer_is_given_up() -> None:
    """Silence is a refusal with its reason, within the bound."""
    for url in (DISCOVERY, JWKS):
        world = World(fetch_seconds=0.02)
        world.web.pages[url] = "hang"
        async with asyncio.timeout(1):
            message = await refusal(world, world.token())
        assert message.endswith('the keys of issuer "ci" are not to be had: it did not answer in time')


DISCOVERIES: dict[str, tuple[object, str]] = {
    "another issuer": ({"issuer": "https://evil.example", "jwks_uri": JWKS}, "names another issuer"),
    "a slash more": ({"issuer": f"{URL}/", "jwks_uri": JWKS}, "names another issuer"),
    "no issuer": ({"jwks_uri": JWKS}, "names another issuer"),
    "a list": ([], "names another issuer"),
    "no keys": ({"issuer": URL}, "names no jwks_uri"),
    "keys over http": ({"issuer": URL, "jwks_uri": "http://issuer.example/jwks"}, "jwks_uri: must be an https URL"),
    "keys on our loopback": ({"issuer": URL, "jwks_uri": "http://127.0.0.1/jwks"}, "jwks_uri: must be an https URL"),
    "keys in a file": ({"issuer": URL, "jwks_uri": "file:///etc/passwd"}, "jwks_uri: must be an https URL"),
    "too large": ({"issuer": URL, "jwks_uri": JWKS, "x": "x" * MAX_DOCUMENT_BYTES}, "its answer is too large"),
}


@pytest.mark.parametrize("name", DISCOVERIES)
async def test_bad_discovery_documents_are_refused(name: str) -> None:
    """Discovery must be about this issuer, and lead to keys over TLS."""
    document, reason = DISCOVERIES[name]
    world = World()
    world.web.pages[DISCOVERY] = json.dumps(document).encode()
    assert reason in await refusal(world, world.token())
    assert not world.web.asked[JWKS]


def public(key: RSAKey | OKPKey, **changes: object) -> dict[str, object]:
    """A JWK with changes."""
    return {**key.as_dict(private=False), "kid": "k1", **changes}


async def test_bad_key_sets_are_refused() -> None:
    """Too large, too many, not a set, not JSON, nothing usable."""
    many = {"keys": [ec_key(str(index)).as_dict(private=False) for index in range(65)]}
    for body, reason in (
        (b'{"keys": [], "x": "' + b"x" * MAX_DOCUMENT_BYTES + b'"}', "its answer is too large"),
        (json.dumps(many).encode(), "more than 64 keys"),
        (b"{}", "its key set is not one"),
        (b'{"keys": {}}', "its key set is not one"),
        (b"<html>", "it is not JSON"),
        (b'{"keys": []}', "no key that this gateway can use"),
    ):
        world = World()
        world.web.pages[JWKS] = body
        assert reason in await refusal(world, world.token())


RSA = RSAKey.generate_key(2048)
SHORT: dict[str, object] = {"kty": "RSA", "n": "A" * 172 + "_" * 169 + "w", "e": "AQAB", "kid": "k1"}
SIGNERS: dict[object, tuple[str, AnyKey]] = {
    "EC": ("ES256", ec_key()),
    "OKP": ("EdDSA", OKPKey.generate_key("Ed25519")),
}
UNUSABLE: dict[str, dict[str, object]] = {
    "for encryption": public(RSA, use="enc"),
    "for signing only": public(RSA, key_ops=["sign"]),
    "for another algorithm": public(RSA, alg="RSA-OAEP"),
    "operations not a list": public(RSA, key_ops="verify"),
    "a shared secret": {"kty": "oct", "k": "c2VjcmV0", "kid": "k1"},
    "with its private part": public(RSA, d=RSA.as_dict(private=True)["d"]),
    "of 1024 bits, padded": SHORT,
    "of 16384 bits": public(RSA, n="_" * 2730 + "8"),
    "a long exponent": public(RSA, e="AQAB" * 20),
    "kty a list": public(RSA, kty=["RSA"]),
    "n a number": public(RSA, n=5),
    "n missing": {"kty": "RSA", "e": "AQAB", "kid": "k1"},
    "e is even": public(RSA, e="AAAC"),
    "kid a number": public(RSA, kid=1),
    "a curve unknown": {"kty": "EC", "crv": "P-257", "x": "AA", "y": "AA", "kid": "k1"},
    "a point off the curve": {"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ", "kid": "k1"},
    "for key agreement": public(OKPKey.generate_key("X25519")),
    "Ed448": public(OKPKey.generate_key("Ed448")),
}


@pytest.mark.parametrize("name", UNUSABLE)
async def test_unusable_keys_are_left_out(name: str) -> None:
    """A key of that kid that may not verify does not, and does not spoil its neighbours."""
    world = World()
    world.web.publish(URL, UNUSABLE[name], ec_key("k2"), None)
    kty = UNUSABLE[name]["kty"]
    algorithm, key = SIGNERS.get(kty if isinstance(kty, str) else "", ("RS256", RSA))
    token = sign({"alg": algorithm, "kid": "k1"}, world.claims(), key, algorithm)
    assert "it names no key" in await refusal(world, token)
    good = ec_key("k3")
    world.web.publish(URL, UNUSABLE[name], good)
    world.now += PAUSE
    assert await world.identify(world.token({"kid": "k3"}, good))


async def test_a_key_for_one_algorithm_verifies_no_other() -> None:
    """`alg` of the key decides: PS256 with a key published for RS256 is refused."""
    world = World()
    world.web.publish(URL, public(RSA, alg="RS256"))
    assert await world.identify(sign({"alg": "RS256", "kid": "k1"}, world.claims(), RSA, "RS256"))
    token = sign({"alg": "PS256", "kid": "k1"}, world.claims(), RSA, "PS256")
    assert "it names no key" in await refusal(world, token)


async def test_a_token_without_kid_needs_a_single_key() -> None:
    """With one key that fits there is no doubt; with two there is (OpenID Connect Core §10.1)."""
    world = World()
    token = sign({"alg": "ES256"}, world.claims(), world.key)
    assert await world.identify(token)
    world.web.publish(URL, world.key, ec_key("k2"))
    world.now += FRESH
    assert "it names no key" in await refusal(world, token)


async def test_a_key_set_that_has_moved_is_looked_up_again() -> None:
    """When the key set is gone from where discovery said, discovery is asked anew after the pause."""
    world = World()
    await world.identify(world.token())
    world.web.pages["https://keys.example/set"] = world.web.pages.pop(JWKS)
    world.web.pages[DISCOVERY] = json.dumps({"issuer": URL, "jwks_uri": "https://keys.example/set"}).encode()
    world.now += FRESH
    await world.identify(world.token())
    world.now += PAUSE
    await world.identify(world.token())
    assert world.web.asked == {DISCOVERY: 2, JWKS: 2, "https://keys.example/set": 1}


async def test_keys_may_share_a_kid() -> None:
    """Some issuers give one kid to several keys: each that fits is tried."""
    world = World()
    world.web.publish(URL, ec_key(), world.key, public(RSA))
    assert await world.identify(world.token())


async def test_discovery_is_not_asked_when_the_key_set_is_configured() -> None:
    """`jwks_uri` stands for discovery."""
    world = World(jwks_uri="https://keys.example/set")
    world.web.pages = {"https://keys.example/set": world.web.pages[JWKS]}
    assert await world.identify(world.token())
    assert world.web.asked == {"https://keys.example/set": 1}


def issuer(**settings: object) -> OidcIssuer:
    """The usual issuer with other places for keys."""
    return OidcIssuer(**{"name": "ci", "issuer": URL, "audiences": ("ostiary",), **settings})  # type: ignore[arg-type]


async def test_keys_stand_in_the_configuration() -> None:
    """Nobody is asked, however often an unknown key comes, and however old they are."""
    key = ec_key()
    world = World(issuer(jwks=json.dumps({"keys": [key.as_dict(private=False)]})))
    for later in (0, STALE, 30 * 86400):
        world.now = NOW + later
        assert await world.identify(world.token({}, key))
        assert "it names no key" in await refusal(world, world.token({"kid": "other"}, key))
    assert not world.web.asked


async def test_keys_are_read_from_a_file_again_and_again(tmp_path: Path) -> None:
    """A key that leaves the file is gone when the file is read anew; while it is missing, the last keys serve."""
    old, new = ec_key("k1"), ec_key("k2")
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [old.as_dict(private=False)]}))
    world = World(issuer(jwks_file=file))
    check_files(world.issuers[0])
    assert await world.identify(world.token({}, old))
    file.write_text(json.dumps({"keys": [new.as_dict(private=False)]}))
    world.now += FRESH
    assert "it names no key" in await refusal(world, world.token({}, old))
    assert await world.identify(world.token({"kid": "k2"}, new))
    file.unlink()
    world.now += FRESH
    assert await world.identify(world.token({"kid": "k2"}, new))
    world.now += STALE
    assert "its file of keys can't be read (No such file or directory)" in await refusal(world, world.token({}, new))
    assert not world.web.asked


async def test_a_cluster_is_asked_with_what_it_wants() -> None:
    """Authorities and token of an issuer go with each request for its keys, and for nobody else's."""
    access = Access(Path("ca.crt"), Path("token"))
    mine = issuer(jwks_uri=JWKS, access=access)
    other = OidcIssuer("other", "https://other.example", ("ostiary",))
    world = World(mine, other)
    world.web.publish(other.issuer, world.key)
    await world.identify(world.token())
    await world.identify(world.token(iss=other.issuer))
    assert world.web.accesses == {JWKS: access, f"{other.issuer}/jwks": PUBLIC, other.discovery_url: PUBLIC}


def test_files_that_cannot_be_used_are_said_before_the_first_token(tmp_path: Path) -> None:
    """`ostiary check` reads what issuers point at."""
    file = tmp_path / "keys.json"
    for setting in (
        {"jwks_file": file},
        {"access": Access(ca_file=file)},
        {"access": Access(token_file=file), "jwks_uri": JWKS},
    ):
        with pytest.raises(OSError, match="No such file"):
            check_files(issuer(**setting))
    for text in ("{}", "no", '{"keys": []}'):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"not one|read in one way|no key in it can be used"):
            check_files(issuer(jwks_file=file))


# ---------------------------------------------------------------- a token that comes again


async def test_a_token_that_comes_again_is_judged_again() -> None:
    """What is remembered is its signature: its times are looked at each time."""
    world = World()
    token = world.token()
    await world.identify(token)
    world.now += 331
    with pytest.raises(Refused, match="expired"):
        await world.identify(token)


async def test_a_token_of_a_withdrawn_key_that_comes_again() -> None:
    """Nothing that is remembered outlives the key; another key under the same id signed nothing."""
    world = World()
    token = world.token(exp=world.now + 3000)
    await world.identify(token)
    world.web.publish(URL, ec_key())
    world.now += 301
    with pytest.raises(Refused, match="signature"):
        await world.identify(token)


async def test_a_token_with_a_changed_signature() -> None:
    """It is another token: what is remembered is of the very bytes."""
    world = World()
    token = world.token()
    await world.identify(token)
    head, dot, signature = token.rpartition(".")
    with pytest.raises(Refused, match="signature"):
        await world.identify(f"{head}{dot}{'B' if signature[0] != 'B' else 'C'}{signature[1:]}")


async def test_how_many_signatures_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many, whoever sends how many; refused tokens are not."""
    monkeypatch.setattr("ostiary.identity.oidc.MAX_VERIFIED", 2)
    world = World()
    for number in range(4):
        await world.identify(world.token(jti=f"t-{number}"))
    with pytest.raises(Refused):
        await world.identify(world.token(key=None) + "x")
    assert len(world.identity._verified) == 2
