"""Signing in at an OpenID provider: what is taken, and every way of being cheated."""

import hmac
import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ostiary.core import PrincipalKind, Proof, Secret
from ostiary.credentials import EnvSource, FileSource
from ostiary.gate.ports import Refused
from ostiary.identity import FetchError, Identities, OidcIssuer
from ostiary.identity.fetch import Access
from ostiary.signin.logins import OidcLogin
from ostiary.signin.ways import PENDING_SECONDS, Pending
from tests.identity.fakes import NOW, URL, b64, ec_key, sign
from tests.signin.kit import CLIENT, GATEWAY, World, basic


async def refused(world: World, **changes: str | None) -> str:
    """The sentence about an answer with these parameters."""
    with pytest.raises(Refused) as caught:
        await world.sign_in(**changes)
    message = caught.value.refusal.message
    assert message.startswith("sign-in refused: ")
    return message.removeprefix("sign-in refused: ")


async def test_a_person_signs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code, PKCE, nonce, the client's secret in the header: a principal with groups, whatever `kind` machines have."""
    monkeypatch.setenv("LOGIN_SECRET", "s3cret:/+ ü")
    world = World(EnvSource("LOGIN_SECRET"))
    pending, params = await world.out()
    (asked,) = world.provider.codes.values()
    challenge = urlsafe_b64encode(sha256(pending.verifier.encode()).digest()).rstrip(b"=").decode()
    assert asked == {
        "tenant": "1",
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": f"{GATEWAY}/login/oidc/corp/callback",
        "scope": "openid email profile",
        "state": pending.state,
        "nonce": pending.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    principal = await world.way.finish(pending, params)
    assert (principal.id, principal.kind) == ("corp:ada", PrincipalKind.HUMAN)
    assert principal.groups == {"dev", "sre"}
    assert principal.expires_at == NOW + 300
    ((form, headers, _),) = world.provider.posted
    assert basic(headers) == (CLIENT, "s3cret:/+ ü")
    assert form == {
        "grant_type": "authorization_code",
        "code": "code-0",
        "redirect_uri": f"{GATEWAY}/login/oidc/corp/callback",
        "code_verifier": pending.verifier,
    }
    assert (world.way.name, world.way.title, world.way.path) == ("corp", "Acme staff", "/login/oidc/corp")


async def test_the_secret_in_the_form(tmp_path: Path) -> None:
    """Where the provider takes it nowhere else; a public client names itself and has none."""
    file = tmp_path / "secret"
    file.write_text("s3cret")
    file.chmod(0o600)
    world = World(FileSource(file))
    world.provider.discover(token_endpoint_auth_methods_supported=["client_secret_post", "none"])
    await world.sign_in()
    ((form, headers, _),) = world.provider.posted
    assert (form["client_id"], form["client_secret"], headers) == (CLIENT, "s3cret", {})
    world = World(FileSource(file))
    world.provider.discover(token_endpoint_auth_methods_supported=["client_secret_post", "client_secret_basic"])
    await world.sign_in()
    ((form, headers, _),) = world.provider.posted
    assert basic(headers) == (CLIENT, "s3cret")
    assert "client_secret" not in form
    world = World()
    await world.sign_in()
    ((form, headers, _),) = world.provider.posted
    assert (form["client_id"], headers) == (CLIENT, {})
    assert "client_secret" not in form


async def test_a_secret_that_is_not_there() -> None:
    """A sentence for the person, and nothing is sent."""
    world = World(EnvSource("NO_SUCH_VARIABLE_HERE"))
    assert await refused(world) == "the gateway's secret at the provider can't be read"
    assert world.provider.posted == []


# ---------------------------------------------------------------- the answer


@pytest.mark.parametrize("state", [None, "", "x" * 43])
async def test_another_state(state: str | None) -> None:
    """Login CSRF: an answer to what another browser began is refused before anybody is asked."""
    world = World()
    assert await refused(world, state=state) == "the answer does not belong to the sign-in that this browser began"
    assert world.provider.posted == []


async def test_an_answer_to_another_persons_request() -> None:
    """The attacker's own code and state, in the victim's browser."""
    world = World()
    victim, _ = await world.out()
    _, attackers = await world.out()
    with pytest.raises(Refused, match="does not belong"):
        await world.way.finish(victim, attackers)


async def test_a_code_of_another_request() -> None:
    """Code injection: the victim's code in an answer with the attacker's state; the verifier is another one."""
    world = World()
    attacker, params = await world.out()
    _, stolen = await world.out()
    with pytest.raises(Refused, match=r"did not take the code, it says invalid_grant"):
        await world.way.finish(attacker, {**params, "code": stolen["code"]})


async def test_a_code_of_another_request_where_pkce_is_not_checked() -> None:
    """Then the nonce of the ID token gives it away."""
    world = World()
    attacker, params = await world.out()
    _, stolen = await world.out()
    victims = world.provider.codes[stolen["code"]]
    victims["code_challenge"] = world.provider.codes[params["code"]]["code_challenge"]
    with pytest.raises(Refused, match="was not made for this sign-in"):
        await world.way.finish(attacker, {**params, "code": stolen["code"]})


async def test_an_answer_counts_once() -> None:
    """Replayed with everything right, also when the first attempt failed."""
    world = World()
    pending, params = await world.out()
    await world.way.finish(pending, params)
    with pytest.raises(Refused, match="answered before"):
        await world.way.finish(pending, params)
    pending, params = await world.out()
    for sentence in ("provider says access_denied", "answered before"):
        with pytest.raises(Refused, match=sentence):
            await world.way.finish(pending, {"state": pending.state, "iss": URL, "error": "access_denied"})


async def test_an_answer_that_comes_late() -> None:
    """After ten minutes."""
    world = World()
    pending, params = await world.out()
    world.now += PENDING_SECONDS
    with pytest.raises(Refused, match="took too long"):
        await world.way.finish(pending, params)


@pytest.mark.parametrize("issuer", [None, "", "https://evil.example", f"{URL}/"])
async def test_another_issuer_answers(issuer: str | None) -> None:
    """Mix-up (RFC 9207): the code goes nowhere."""
    world = World()
    assert await refused(world, iss=issuer) == "the answer is not from the provider that was asked"
    assert world.provider.posted == []


async def test_a_provider_that_does_not_name_itself() -> None:
    """Most do not say that they do: then a missing issuer is fine, a wrong one is not."""
    world = World()
    world.provider.discover(authorization_response_iss_parameter_supported=None)
    assert (await world.sign_in(iss=None)).subject == "ada"
    assert "not from the provider" in await refused(world, iss="https://evil.example")


async def test_another_ways_pending() -> None:
    """What was begun at one provider can't be finished at another."""
    world = World()
    pending = Pending.begun("other", NOW)
    with pytest.raises(Refused, match="does not belong"):
        await world.way.finish(pending, {"state": pending.state, "code": "x", "iss": URL})


@pytest.mark.parametrize(
    ("error", "shown"), [("access_denied", "access_denied"), ("<b>Call 555-0100</b>", "no"), ("x" * 41, "no")]
)
async def test_an_error(error: str, shown: str) -> None:
    """Only its code is shown, and only where it is one."""
    assert await refused(World(), error=error, code=None) == f"the provider says {shown}"


@pytest.mark.parametrize("code", [None, "", "x" * 4097, "a\nb", "é"])
async def test_a_code_that_is_none(code: str | None) -> None:
    """Not sent anywhere."""
    world = World()
    assert await refused(world, code=code) == "the answer has no code that can be used"
    assert world.provider.posted == []


# ---------------------------------------------------------------- the ID token

TOKENS: list[tuple[dict[str, object], str]] = [
    ({"nonce": None}, "was not made for this sign-in (nonce)"),
    ({"nonce": "other"}, "was not made for this sign-in (nonce)"),
    ({"nonce": 7}, "was not made for this sign-in (nonce)"),
    ({"iss": "https://evil.example"}, "its issuer (iss) is not one"),
    ({"iss": f"{URL}/"}, "its issuer (iss) is not one"),
    ({"aud": "other"}, "was made for another audience"),
    ({"aud": ["other"]}, "was made for another audience"),
    ({"aud": None}, "its audience (aud) is missing"),
    ({"aud": [CLIENT, "other"]}, "issued to another client (azp)"),
    ({"azp": "other"}, "issued to another client (azp)"),
    ({"azp": 7}, "issued to another client (azp)"),
    ({"exp": NOW - 60}, "has expired"),
    ({"exp": None}, "has no expiry"),
    ({"iat": None}, "does not say when it was issued"),
    ({"iat": NOW + 60}, "issued in the future"),
    ({"nbf": NOW + 60}, "is not valid yet"),
    ({"sub": None}, "its subject (sub) is missing"),
    ({"sub": " ada"}, "its subject (sub) is missing"),
    ({"at_hash": "x"}, "made for another access token"),
    ({"groups": [7]}, 'the claim "groups" is not plain text'),
]


@pytest.mark.parametrize(
    ("claims", "sentence"), TOKENS, ids=[f"{n}-{next(iter(c))}" for n, (c, _) in enumerate(TOKENS)]
)
async def test_an_id_token_that_is_not_good(claims: dict[str, object], sentence: str) -> None:
    """Properly signed, and refused for what it says."""
    world = World()
    world.provider.claims = claims
    assert sentence in await refused(world)


async def test_what_an_id_token_may_say() -> None:
    """Several audiences with this client as the authorized party, and the hash of the access token."""
    world = World()
    digest = sha256(b"at-1").digest()[:16]
    world.provider.claims = {"aud": ["other", CLIENT], "azp": CLIENT, "at_hash": b64(digest)}
    assert (await world.sign_in()).subject == "ada"


async def test_bindings() -> None:
    """Claims that must have a value keep strangers out, who may sign in at the same provider."""
    world = World(issuer={"bind": {"hd": "acme.example"}})
    for hd in (None, "evil.example"):
        world.provider.claims = {"hd": hd}
        assert "does not have a value that issuer" in await refused(world)
    world.provider.claims = {"hd": "acme.example"}
    assert (await world.sign_in()).subject == "ada"


async def test_algorithms() -> None:
    """`none`, and a shared secret that is the provider's public key."""
    world = World()
    _, params = await world.out()
    asked = world.provider.codes[params["code"]]
    payload = {"iss": URL, "sub": "eve", "aud": CLIENT, "iat": NOW, "exp": NOW + 300, "nonce": asked["nonce"]}
    hs256 = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'k1'}))}.{b64(json.dumps(payload))}"
    tag = hmac.digest(world.provider.key.as_pem(private=False), hs256.encode(), "sha256")
    none = f"{b64(json.dumps({'alg': 'none'}))}.{b64(json.dumps(payload))}."
    for token in (none, f"{hs256}.{b64(tag)}"):
        world.provider.answer = 200, json.dumps({"id_token": token}).encode()
        assert "its signature algorithm is not one that this gateway accepts" in await refused(world)


@pytest.mark.parametrize("header", ["jwk", "jku", "x5u", "x5c"])
async def test_keys_that_come_along(header: str) -> None:
    """Signed by the attacker's key, which the header offers in every known way: nothing is fetched or believed."""
    world = World()
    evil = ec_key()
    offered: dict[str, object] = {
        "jwk": evil.as_dict(private=False),
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/cert",
        "x5c": ["MIIB"],
    }
    world.provider.header, world.provider.signing = {header: offered[header]}, evil
    assert "its signature is not one of issuer" in await refused(world)
    assert not any("evil" in url for url in world.provider.asked)


async def test_tokens_of_another_kind() -> None:
    """An access token in the place of the ID token."""
    world = World()
    world.provider.header = {"typ": "at+jwt"}
    assert await refused(world) == "what the provider gave as an ID token is one of another kind"


@pytest.mark.parametrize("token", [None, 7, "", "é", "a.b", "x" * 20_000])
async def test_no_id_token(token: object) -> None:
    """Missing, or nothing that could be one."""
    world = World()
    world.provider.more = {"id_token": token}
    assert "ID token" in await refused(world)


# ---------------------------------------------------------------- machines and people


async def test_what_people_sign_in_with_is_no_machines_token() -> None:
    """The login client's ID token is refused at the gate, a machine's token is refused as an ID token."""
    world = World()
    machines = OidcIssuer("corp", URL, ("ostiary",), groups=("{groups}",))
    gate = Identities([machines], world.provider, lambda: NOW, beside=[world.issuer])
    pending, params = await world.out()
    id_token = world.provider.id_token(world.provider.codes[params["code"]])
    with pytest.raises(Refused, match="made for another audience"):
        await gate.identify(Proof(Secret(id_token), "orders", "10.0.0.9:1", encrypted=True, loopback=False))
    world.provider.claims = {"aud": "ostiary"}
    assert "made for another audience" in await refused(world)
    assert pending.way == "corp"


async def test_groups_of_people_are_not_imitated_by_machines() -> None:
    """The names that a login makes belong to it, also for issuers of machines."""
    world = World(issuer={"groups": ("staff/{groups}",)})
    machines = OidcIssuer("ci", "https://ci.example", ("ostiary",), groups=("{team}",))
    world.provider.publish("https://ci.example", world.provider.key)
    gate = Identities([machines], world.provider, lambda: NOW, beside=[world.issuer])
    claims = {"iss": "https://ci.example", "sub": "x", "aud": "ostiary", "exp": NOW + 9, "team": "staff/dba"}
    token = sign({"alg": "ES256", "kid": "k1"}, claims, world.provider.key)
    with pytest.raises(Refused, match="imitate"):
        await gate.identify(Proof(Secret(token), "orders", "10.0.0.9:1", encrypted=True, loopback=False))


# ---------------------------------------------------------------- the provider

DOCUMENTS = [
    ({"issuer": f"{URL}/"}, "names another issuer"),
    ({"issuer": "https://evil.example"}, "names another issuer"),
    ({"issuer": None}, "names another issuer"),
    ({"authorization_endpoint": None}, "names no authorization_endpoint"),
    ({"authorization_endpoint": f"{URL}/a#b"}, "names no authorization_endpoint"),
    ({"authorization_endpoint": "http://issuer.example/a"}, "authorization_endpoint: must be an https URL"),
    ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint: must be an https URL"),
    ({"token_endpoint": "http://127.0.0.1/t"}, "token_endpoint: must be an https URL"),
    ({"token_endpoint": 7}, "names no token_endpoint"),
    ({"code_challenge_methods_supported": ["plain"]}, "does not support PKCE with S256"),
    ({"code_challenge_methods_supported": 7}, "could not be asked (TypeError)"),
]


@pytest.mark.parametrize(("changes", "sentence"), DOCUMENTS)
async def test_a_discovery_document_that_will_not_do(changes: dict[str, object], sentence: str) -> None:
    """Nobody is sent anywhere; it is asked again after a pause, and no sooner."""
    world = World()
    world.provider.discover(**changes)
    for later in (0, 9):
        world.now = NOW + later
        with pytest.raises(Refused) as caught:
            await world.way.begin(Pending.begun("corp", world.now))
        assert sentence in caught.value.refusal.message
    assert world.provider.asked[f"{URL}/.well-known/openid-configuration"] == 1
    world.provider.discover()
    world.now = NOW + 10
    assert urlsplit((await world.way.begin(Pending.begun("corp", world.now))).url).hostname == "issuer.example"


async def test_a_discovery_document_is_kept_for_an_hour() -> None:
    """However many sign in."""
    world = World()
    for later in (0, 1800, 3599, 3600):
        world.now = NOW + later
        await world.way.begin(Pending.begun("corp", world.now))
    assert world.provider.asked[f"{URL}/.well-known/openid-configuration"] == 2


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        (FetchError("it answered with status 503"), "it answered with status 503"),
        (LookupError("secret"), "it could not be asked (LookupError)"),
        (b"{", "not JSON"),
        (b'{"issuer": "a", "issuer": "b"}', "not JSON that can be read in one way only"),
        (b"[]", "names another issuer"),
    ],
)
async def test_a_provider_that_is_down(page: bytes | BaseException, sentence: str) -> None:
    """Its state in a sentence."""
    world = World()
    world.provider.pages[f"{URL}/.well-known/openid-configuration"] = page
    with pytest.raises(Refused) as caught:
        await world.way.begin(Pending.begun("corp", NOW))
    assert sentence in caught.value.refusal.message


async def test_a_provider_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does not keep anybody."""
    monkeypatch.setattr("ostiary.signin.provider.SECONDS", 0.0)
    world = World()
    world.provider.pages[f"{URL}/.well-known/openid-configuration"] = "hang"
    with pytest.raises(Refused, match="did not answer in time"):
        await world.way.begin(Pending.begun("corp", NOW))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((400, b'{"error": "invalid_grant"}'), "did not take the code, it says invalid_grant"),
        ((401, b'{"error": "invalid_client"}'), "did not take the code, it says invalid_client"),
        ((400, b'{"error": "<b>"}'), "did not take the code, it says no"),
        ((400, b"{}"), "did not take the code, it says no"),
        ((200, b"[]"), "is not a JSON object"),
        ((200, b"<html>"), "not JSON"),
        ((200, b'{"id_token": "a", "id_token": "b"}'), "not JSON that can be read in one way only"),
        (FetchError("its answer is too large"), "its answer is too large"),
        (TimeoutError(), "did not answer in time"),
    ],
)
async def test_a_token_endpoint_that_does_not_answer_well(
    answer: tuple[int, bytes] | BaseException, sentence: str
) -> None:
    """Its state in a sentence."""
    world = World()
    world.provider.answer = answer
    assert sentence in await refused(world)


async def test_what_the_provider_is_asked_with() -> None:
    """Its own authorities; the bearer token that opens a cluster's key set is shown to nobody else."""
    access = Access(Path("/ca.pem"), Path("/token"))
    world = World(issuer={"access": access, "jwks_uri": f"{URL}/jwks"})
    await world.sign_in()
    ((_, _, shown),) = world.provider.posted
    assert shown == Access(Path("/ca.pem"))
    assert world.provider.accesses == {f"{URL}/.well-known/openid-configuration": shown, f"{URL}/jwks": access}


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"title": " "}, "title: "),
        ({"title": "x" * 65}, "title: "),
        ({"title": "a\nb"}, "title: "),
        ({"client_id": ""}, "client_id: "),
        ({"client_id": "é"}, "client_id: "),
        ({"client_id": "other"}, "client_id: ID tokens are made for it alone"),
        ({"scopes": ("email",)}, "scopes: openid must be one"),
        ({"scopes": ("openid", "a b")}, "scopes: "),
        ({"issuer": OidcIssuer("corp", URL, (CLIENT,))}, "client_id: "),
    ],
)
def test_logins_that_will_not_do(settings: dict[str, object], sentence: str) -> None:
    """Said when one is made."""
    issuer = OidcIssuer("corp", URL, (CLIENT,), PrincipalKind.HUMAN)
    good = {"issuer": issuer, "gateway": GATEWAY, "title": "Acme", "client_id": CLIENT, **settings}
    with pytest.raises(ValueError, match=sentence):
        OidcLogin(**good)  # type: ignore[arg-type]


def test_what_is_configured_for_machines_does_not_count() -> None:
    """An ID token names the issuer that its discovery document names, and this client as its party."""
    names = ("https://old.example",)
    issuer = OidcIssuer("corp", URL, (CLIENT,), PrincipalKind.HUMAN, aliases=names, authorized_parties=("job",))
    login = OidcLogin(issuer=issuer, gateway=GATEWAY, title="Acme", client_id=CLIENT)
    assert (login.issuer.accepted, login.issuer.authorized_parties) == ((URL,), ())
