"""A table of attacks on tokens, each refused for its reason, and the tokens that pass."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from ostiary.core import PrincipalKind, RefusalKind
from ostiary.gate.ports import Refused
from ostiary.identity import OidcIdentity, OidcIssuer
from tests.identity.fakes import NOW, URL, AnyKey, World, b64, ec_key, sign

OTHER = "https://other.example"
ATTACKER = ec_key()
RSA = RSAKey.generate_key(2048, {"kid": "k1"})

Attack = Callable[[World], str]


def claims(**changed: object) -> Attack:
    """A well-signed token with these claims."""
    return lambda world: world.token(**changed)


def header(**changed: object) -> Attack:
    """A well-signed token with this header."""
    return lambda world: world.token(changed)


def payload(text: str | bytes) -> Attack:
    """A well-signed token around this text."""
    return lambda world: sign({"alg": "ES256", "kid": "k1"}, text, world.key)


def raw(world: World, member: str) -> str:
    """Good claims as JSON text, with one more member before the end."""
    return json.dumps(world.claims())[:-1] + f", {member}}}"


def unsigned(alg: str) -> Attack:
    """No signature at all."""
    return lambda world: f"{b64(json.dumps({'alg': alg, 'kid': 'k1'}))}.{b64(json.dumps(world.claims()))}."


def hmac_with_public_key(world: World) -> str:
    """The public key's PEM as the shared secret."""
    secret = OctKey.import_key(world.key.as_pem(private=False).replace(b"-----", b""))
    return sign({"alg": "HS256", "kid": "k1"}, world.claims(), secret, "HS256")


def changed_payload(world: World) -> str:
    """Another payload under a signature of the issuer."""
    head, _, tail = world.token().split(".")
    return f"{head}.{b64(json.dumps(world.claims(sub='admin')))}.{tail}"


def padded(world: World) -> str:
    """A signature that decodes to the same bytes, written otherwise."""
    return world.token() + "=="


def not_canonical(world: World) -> str:
    """Spare bits of the last character set."""
    token = world.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) | 1]


ATTACKS: dict[str, tuple[Attack, str]] = {
    "alg none": (unsigned("none"), "its signature algorithm is not one"),
    "alg None": (unsigned("nOnE"), "its signature algorithm is not one"),
    "no signature": (unsigned("ES256"), "its signature is not one of"),
    "HS256 with the public key": (hmac_with_public_key, "its signature algorithm is not one"),
    "alg is a list": (header(alg=["ES256"]), "its signature algorithm is not one"),
    "alg is missing": (lambda w: sign({"kid": "k1"}, w.claims(), w.key), "its signature algorithm is not one"),
    "secp256k1": (header(alg="ES256K"), "its signature algorithm is not one"),
    "another curve's algorithm": (header(alg="ES384"), "it names no key"),
    "another key type": (lambda w: sign({"alg": "RS256", "kid": "k1"}, w.claims(), RSA, "RS256"), "it names no key"),
    "an attacker's key under our kid": (lambda w: w.token({}, ATTACKER), "its signature is not one of"),
    "kid unknown": (header(kid="k2"), "it names no key"),
    "kid is a path": (header(kid="../../dev/null"), "it names no key"),
    "kid is a number": (header(kid=1), "its key id is not text"),
    "jwk header": (
        lambda w: w.token({"jwk": ATTACKER.as_dict(private=False)}, ATTACKER),
        "its signature is not one of",
    ),
    "jku header": (lambda w: w.token({"jku": f"{OTHER}/jwks"}, ATTACKER), "its signature is not one of"),
    "x5u header": (lambda w: w.token({"x5u": f"{OTHER}/x5u"}, ATTACKER), "its signature is not one of"),
    "x5c header": (lambda w: w.token({"x5c": ["MIIB"]}, ATTACKER), "its signature is not one of"),
    "crit": (header(crit=["exp"], exp=1), "its header demands an extension"),
    "crit, empty": (header(crit=[]), "its header demands an extension"),
    "b64 false": (header(b64=False), "its header demands an extension"),
    "logout token": (header(typ="logout+jwt"), "it is of a type"),
    "DPoP proof": (header(typ="dpop+jwt"), "it is of a type"),
    "typ is a number": (header(typ=5), "it is of a type"),
    "payload changed": (changed_payload, "its signature is not one of"),
    "padding": (padded, "its signature is not base64url"),
    "not canonical": (not_canonical, "its signature is not base64url"),
    "encrypted (five parts)": (lambda w: w.token() + ".x.y", "it is not a signed JWT"),
    "two parts": (lambda w: "a.b", "it is not a signed JWT"),
    "a password": (lambda w: "hunter2", "it is not a signed JWT"),
    "empty": (lambda w: "", "it is not a signed JWT"),
    "trailing newline": (lambda w: w.token() + "\n", "its signature is not base64url"),
    "huge": (claims(padding="x" * 17000), "it is longer than 16 KiB"),
    "huge, of dots": (lambda w: "." * 16385, "it is longer than 16 KiB"),
    "header twice alg": (
        lambda w: sign('{"alg":"none","alg":"ES256","kid":"k1"}', w.claims(), w.key),
        "its header is not JSON",
    ),
    "payload twice sub": (lambda w: payload(raw(w, '"sub":"admin"'))(w), "its payload is not JSON"),
    "nested member twice": (lambda w: payload(raw(w, '"a":{"b":1,"b":2}'))(w), "its payload is not JSON"),
    "member twice by escape": (lambda w: payload(raw(w, '"s\\u0075b":"admin"'))(w), "its payload is not JSON"),
    "exp NaN": (lambda w: payload(raw(w, '"x":NaN'))(w), "its payload is not JSON"),
    "Infinity": (lambda w: payload(raw(w, '"x":Infinity'))(w), "its payload is not JSON"),
    "payload not JSON": (payload("sub=shop"), "its payload is not JSON"),
    "payload not UTF-8": (payload(b'{"sub":"\xff"}'), "its payload is not JSON"),
    "payload nested": (payload("[" * 9000), "its payload is not JSON"),
    "a number of 5000 digits": (payload('{"exp":' + "9" * 5000 + "}"), "its payload is not JSON"),
    "payload a list": (payload("[]"), "its payload is not a JSON object"),
    "payload null": (payload("null"), "its payload is not a JSON object"),
    "no issuer": (claims(iss=None), "its issuer (iss) is not one"),
    "issuer is a list": (claims(iss=[URL]), "its issuer (iss) is not one"),
    "issuer with a slash": (claims(iss=f"{URL}/"), "its issuer (iss) is not one"),
    "issuer in capitals": (claims(iss="https://Issuer.example"), "its issuer (iss) is not one"),
    "issuer with a port": (claims(iss=f"{URL}:443"), "its issuer (iss) is not one"),
    "issuer as a beginning": (claims(iss=f"{URL}.evil.example"), "its issuer (iss) is not one"),
    "another issuer's name, this one's key": (claims(iss=OTHER), 'its signature is not one of issuer "other"'),
    "no audience": (claims(aud=None), "its audience (aud) is missing"),
    "audience is a number": (claims(aud=1), "its audience (aud) is missing"),
    "audience null in a list": (claims(aud=["ostiary", None]), "its audience (aud) is missing"),
    "audience nested": (claims(aud=[["ostiary"]]), "its audience (aud) is missing"),
    "audience is an object": (claims(aud={"ostiary": 1}), "its audience (aud) is missing"),
    "audience empty": (claims(aud=[]), "it was made for another audience"),
    "audience other": (claims(aud="vault"), "it was made for another audience"),
    "audience others": (claims(aud=["vault", "ostiary2"]), "it was made for another audience"),
    "audience a beginning": (claims(aud="ostiary.evil"), "it was made for another audience"),
    "audience in capitals": (claims(aud="Ostiary"), "it was made for another audience"),
    "expired": (claims(exp=NOW - 31), "it has expired"),
    "expired at the edge of leeway": (claims(exp=NOW - 30), "it has expired"),
    "no exp": (claims(exp=None), "it has no expiry"),
    "exp null": (lambda w: payload(json.dumps({**w.claims(), "exp": None}))(w), "its time claim exp is not a time"),
    "exp as text": (claims(exp=str(int(NOW + 300))), "its time claim exp is not a time"),
    "exp true": (claims(exp=True), "its time claim exp is not a time"),
    "exp negative": (claims(exp=-1), "its time claim exp is not a time"),
    "exp 1e400": (lambda w: payload(raw(w, '"nbf":1e400'))(w), "its time claim nbf is not a time"),
    "exp beyond time": (claims(exp=10**30), "its time claim exp is not a time"),
    "exp in milliseconds": (claims(exp=NOW * 1000), "its time claim exp is not a time"),
    "not valid yet": (claims(nbf=NOW + 31), "it is not valid yet"),
    "nbf as text": (claims(nbf="0"), "its time claim nbf is not a time"),
    "issued in the future": (claims(iat=NOW + 3600, exp=NOW + 7200), "it was issued in the future"),
    "iat a list": (claims(iat=[NOW]), "its time claim iat is not a time"),
    "bound to a client key": (claims(cnf={"jkt": "x"}), "it is bound to a key"),
    "security event": (claims(events={"logout": {}}), "it reports an event"),
    "no subject": (claims(sub=None), "its subject (sub) is missing"),
    "subject empty": (claims(sub=""), "its subject (sub) is missing"),
    "subject is a number": (claims(sub=7), "its subject (sub) is missing"),
    "subject with a newline": (claims(sub="shop\nadmin"), "its subject (sub) is missing"),
    "subject that runs backwards": (claims(sub="shop\u202enimda"), "its subject (sub) is missing"),
    "subject with a lone surrogate": (claims(sub="shop\ud800"), "its subject (sub) is missing"),
    "subject with a space behind": (claims(sub="shop "), "its subject (sub) is missing"),
    "subject too long": (claims(sub="x" * 257), "its subject (sub) is missing"),
}


def two_issuers() -> World:
    """The usual issuer, and another one with a key of its own under the same kid."""
    world = World(
        OidcIssuer("ci", URL, ("ostiary",)),
        OidcIssuer("other", OTHER, ("ostiary",)),
    )
    world.web.publish(OTHER, ec_key())
    return world


@pytest.mark.parametrize("name", ATTACKS)
async def test_attacks_are_refused_for_their_reason(name: str) -> None:
    """Each attack meets its own sentence, which has a next step and quotes nothing of the token."""
    attack, reason = ATTACKS[name]
    world = two_issuers()
    token = attack(world)
    with pytest.raises(Refused) as refused:
        await world.identify(token)
    refusal = refused.value.refusal
    assert refusal.kind is RefusalKind.IDENTITY
    assert refusal.message.startswith(f"token refused: {reason}")
    assert refusal.hint
    shown = refusal.message + refusal.hint
    assert not any(part and part in shown for part in token.split(".") if len(part) > 3)
    assert not [value for value in ("admin", "evil", "vault", "Issuer", "k2") if value in shown]
    assert set(world.web.asked) <= {f"{u}{p}" for u in (URL, OTHER) for p in ("/jwks", DISCOVERY)}


DISCOVERY = "/.well-known/openid-configuration"


async def test_a_good_token_is_a_principal() -> None:
    """Everything the port promises, from one token."""
    world = World(kind=PrincipalKind.HUMAN, groups=("{groups}",), session_grace=120.0)
    principal = await world.identify(
        world.token(groups=["dev", "sre"], email="ada@example.com", email_verified=True, run_id=77, nonce="n")
    )
    assert principal.id == "ci:shop"
    assert principal.kind is PrincipalKind.HUMAN
    assert principal.groups == {"dev", "sre"}
    assert principal.expires_at == NOW + 300
    assert principal.session_until == NOW + 420
    assert principal.proof_id == "t-1"
    assert principal.claims == {"sub": "shop", "email": "ada@example.com", "run_id": "77"}


GOOD: dict[str, Attack] = {
    "audience among others": claims(aud=["vault", "ostiary"]),
    "within leeway": claims(exp=NOW - 29),
    "nbf within leeway": claims(nbf=NOW + 30),
    "times with fractions": claims(exp=NOW + 0.5, iat=NOW - 0.25),
    "no iat": claims(iat=None),
    "access token": header(typ="at+jwt"),
    "an unknown header member": header(x5t="abc", org="acme"),
}


@pytest.mark.parametrize("name", GOOD)
async def test_ordinary_variations_pass(name: str) -> None:
    """What RFC 7519 allows is not refused."""
    world = World()
    assert (await world.identify(GOOD[name](world))).subject == "shop"


KEYS: dict[str, AnyKey] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA),
    "ES256": ec_key(),
    "ES384": ec_key(curve="P-384"),
    "ES512": ec_key(curve="P-521"),
    **dict.fromkeys(("EdDSA", "Ed25519"), OKPKey.generate_key("Ed25519", {"kid": "k1"})),
}


@pytest.mark.parametrize("algorithm", KEYS)
async def test_every_allowed_algorithm_verifies(algorithm: str) -> None:
    """A signature of each kind passes, and a changed one does not."""
    world = World()
    world.web.publish(URL, KEYS[algorithm])
    token = sign({"alg": algorithm, "kid": "k1"}, world.claims(), KEYS[algorithm], algorithm)
    assert (await world.identify(token)).subject == "shop"
    head, body, tail = token.split(".")
    with pytest.raises(Refused, match="its signature is not one of"):
        await world.identify(f"{head}.{body}.{'B' if tail[0] == 'A' else 'A'}{tail[1:]}")


async def test_an_issuer_can_allow_fewer_algorithms() -> None:
    """Its key would fit, but its algorithm was not allowed."""
    world = World(algorithms=("RS256",))
    with pytest.raises(Refused, match='not allowed for issuer "ci"'):
        await world.identify(world.token())
    assert not world.web.asked


async def test_plain_text_is_refused_unless_allowed_on_loopback() -> None:
    """TLS, or a loopback client and the setting: both are needed."""
    world = World()
    token = world.token()
    for loopback in (True, False):
        with pytest.raises(Refused, match="without TLS"):
            await world.identify(token, encrypted=False, loopback=loopback)
    world.identity = OidcIdentity(world.issuers, world.web, lambda: world.now, allow_plaintext_loopback=True)
    assert await world.identify(token, encrypted=False, loopback=True)
    with pytest.raises(Refused, match="without TLS"):
        await world.identify(token, encrypted=False, loopback=False)


async def test_the_session_ends_with_grace_or_at_its_longest() -> None:
    """`session_until` is the earlier of both; without grace, leeway opens no session that is over already."""
    world = World(session_grace=60.0, max_session=100.0)
    assert (await world.identify(world.token(exp=NOW + 30))).session_until == NOW + 90
    assert (await world.identify(world.token(exp=NOW + 9000))).session_until == NOW + 100
    world = World(session_grace=0.0)
    with pytest.raises(Refused, match="it has expired"):
        await world.identify(world.token(exp=NOW - 5))


@pytest.mark.parametrize("azp", [None, "evil", "Runner", ["runner"], 1])
async def test_the_authorized_party_is_checked_where_configured(azp: object) -> None:
    """`azp` must be there and be one of those named."""
    world = World(authorized_parties=("runner", "other"))
    assert await world.identify(world.token(azp="runner"))
    with pytest.raises(Refused, match=r"\(azp\) that is not allowed"):
        await world.identify(world.token(azp=azp))


BOUND: dict[str, tuple[object, dict[str, object]]] = {
    "a subject's beginning": ("repo:acme/shop:ref:refs/heads/main", {"sub": "repo:acme/shop:ref:refs/heads/main2"}),
    "a branch like main": ("repo:acme/shop:ref:refs/heads/main", {"sub": "repo:acme/shop:ref:refs/heads/mai"}),
    "a forked pull request": ("repo:acme/shop:ref:refs/heads/main", {"sub": "repo:acme/shop:pull_request"}),
    "a fork": ("repo:acme/shop:ref:refs/heads/main", {"sub": "repo:evil/shop:ref:refs/heads/main"}),
    "another case": ("repo:acme/shop:ref:refs/heads/main", {"sub": "repo:Acme/shop:ref:refs/heads/main"}),
}


@pytest.mark.parametrize("name", BOUND)
async def test_bound_subjects_are_compared_whole(name: str) -> None:
    """Neither a beginning, nor a look-alike, nor a fork of the bound subject passes."""
    want, changed = BOUND[name]
    world = World(bind={"sub": want})
    assert await world.identify(world.token(sub=want))
    with pytest.raises(Refused, match='"sub" does not have a value that issuer "ci" is bound to'):
        await world.identify(world.token(**changed))


@pytest.mark.parametrize(
    ("want", "value"),
    [
        ("true", True),
        (True, "true"),
        (True, 1),
        (1, True),
        (1, 1.0),
        (1, "1"),
        ("acme", ["acme"]),
        ("acme", None),
        (("a", "b"), "c"),
        (("a", "b"), ["a", "b"]),
    ],
)
async def test_bound_claims_are_compared_with_their_type(want: object, value: object) -> None:
    """A value of another type is another value."""
    world = World(bind={"x": want})
    good = want[1] if isinstance(want, tuple) else want
    assert await world.identify(world.token(x=good))
    with pytest.raises(Refused, match='"x" does not have a value'):
        await world.identify(world.token(x=value))


async def test_an_address_counts_only_when_it_is_verified() -> None:
    """An issuer that lets users type any address can't open the door that is bound to one."""
    world = World(bind={"email": "ada@example.com"})
    assert await world.identify(world.token(email="ada@example.com", email_verified=True))
    for verified in (None, False, "true", 1):
        with pytest.raises(Refused, match='"email" does not have a value'):
            await world.identify(world.token(email="ada@example.com", email_verified=verified))


async def test_nested_claims_are_bound_by_pointer() -> None:
    """`/kubernetes.io/namespace` walks into the claim; a claim that is no object leads nowhere."""
    world = World(bind={"/kubernetes.io/namespace": "prod", "/a~1b/c~0d": True})
    good = {"kubernetes.io": {"namespace": "prod"}, "a/b": {"c~d": True}}
    assert (await world.identify(world.token(**good))).claims["kubernetes.io/namespace"] == "prod"
    mail = World(bind={"/email": "ada@example.com"})
    with pytest.raises(Refused, match="does not have a value"):
        await mail.identify(mail.token(email="ada@example.com"))
    with pytest.raises(Refused, match="does not have a value"):
        await world.identify(world.token(**{**good, "kubernetes.io": "namespace"}))


async def test_records_get_bounded_printable_claims() -> None:
    """Long values are cut and say so, unprintable ones and structures are left out, a missing `jti` has a digest."""
    world = World()
    token = world.token(jti=None, repository="a" * 5000, ref="a\x1b[31m", workflow={"a": 1}, actor=True, run_id=10**30)
    principal = await world.identify(token)
    assert principal.claims == {"sub": "shop", "repository": "a" * 255 + "…"}
    assert principal.proof_id.startswith("sha256:")
    assert len(principal.proof_id) == 39
    assert (await world.identify(world.token(jti="a\nb"))).proof_id.startswith("sha256:")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["sub", "aud", "exp", "nbf", "iat", "azp", "jti", "email", "groups", "cnf", "repository", "x"])
HEADERS = st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "x"])
WORLD = World(groups=("{groups}", "r/{repository}/{x}"), bind={"/x/y": 1}, authorized_parties=("a",))
LOOSE = World(groups=("{groups}", "r/{repository}/{x}"))
SEGMENTS = st.binary(max_size=80).map(b64) | st.text(max_size=40) | JSON.map(lambda v: b64(json.dumps(v)))


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.lists(SEGMENTS, max_size=5).map(".".join))
async def test_garbage_is_refused_and_nothing_else(token: str | bytes) -> None:
    """Whatever comes, `identify` raises Refused."""
    if isinstance(token, str):
        token = token.encode("utf-8", "surrogatepass")
    with pytest.raises(Refused):
        await WORLD.identify(token)


@settings(max_examples=300)
@given(st.dictionaries(NAMES, JSON, max_size=5), st.dictionaries(HEADERS, JSON, max_size=2))
async def test_any_signed_claims_make_a_sound_principal_or_a_refusal(
    changed: dict[str, object], changed_header: dict[str, object]
) -> None:
    """Even the issuer itself can't make `identify` crash, or give out an unprintable or unbounded name."""
    token = sign({"alg": "ES256", "kid": "k1", **changed_header}, {**LOOSE.claims(), **changed}, LOOSE.key)
    try:
        principal = await LOOSE.identify(token)
    except Refused:
        return
    shown = [principal.subject, principal.proof_id, *principal.groups, *principal.claims.values()]
    assert all(text.isprintable() and 0 < len(text) < 600 for text in shown)
    assert NOW < principal.session_until <= NOW + 12 * 3600


async def test_a_verified_token_is_not_cached_beyond_its_time() -> None:
    """The same proof is judged anew each time."""
    world = World()
    token = world.token(exp=NOW + 10)
    assert await world.identify(token)
    world.now = NOW + 10 + 31
    with pytest.raises(Refused, match="it has expired"):
        await world.identify(token)


def test_settings_that_cannot_be_meant_are_said() -> None:
    """A wrong setting is a sentence that names the issuer and the setting."""
    good = OidcIssuer("ci", URL, ("ostiary",))
    wrong: dict[str, dict[str, object]] = {
        'issuer name "a:b"': {"name": "a:b"},
        "issuer: must be an https": {"issuer": "http://issuer.example"},
        "issuer: must be an https URL": {"issuer": "ftp://issuer.example"},
        "issuer: must be a URL with a host": {"issuer": "https://user:pw@issuer.example"},
        "issuer: must have neither": {"issuer": "https://issuer.example?x"},
        "jwks_uri: must be an https": {"jwks_uri": "http://127.0.0.1/jwks"},
        "audiences: name at least": {"audiences": ()},
        "audiences: name at least one": {"audiences": ("",)},
        "audiences: must be a tuple": {"audiences": "ostiary"},
        "algorithms: choose": {"algorithms": ("none",)},
        "algorithms: choose from": {"algorithms": ("HS256",)},
        "algorithms: choose from RS256": {"algorithms": ()},
        "bind: x: must be": {"bind": {"x": ()}},
        "bind: x: must be text": {"bind": {"x": ["a"]}},
        "leeway: must be": {"leeway": 301},
        "session_grace: must be": {"session_grace": -1},
        "max_session: must be": {"max_session": float("nan")},
        "names no claim": {"groups": ("dev",)},
        "has a brace": {"groups": ("a/{b}/}",)},
        "needs some text between": {"groups": ("{a}{b}",)},
        "two templates begin": {"groups": ("r/{a}", "r/{a}/{b}")},
    }
    for sentence, setting in wrong.items():
        with pytest.raises(ValueError, match="issuer ") as error:
            replace(good, **setting)  # type: ignore[arg-type]
        assert sentence in str(error.value)
        assert "pw" not in str(error.value)
    for twin in (replace(good, name="b"), replace(good, issuer=OTHER)):
        with pytest.raises(ValueError, match="another issuer"):
            OidcIdentity([good, twin], World().web, lambda: NOW)
    assert isinstance(OidcIssuer("l", "http://127.0.0.1:8080", ("o",)), OidcIssuer)
    assert isinstance(OidcIssuer("l", "http://[::1]:8080", ("o",)).discovery_url, str)


def test_ec_keys_of_the_table_are_what_they_say() -> None:
    """The attacker's key shares the kid, and nothing else."""
    assert isinstance(ATTACKER, ECKey)
    assert ATTACKER.kid == World().key.kid
