"""The token endpoint, grant by grant, and what every mistake is answered with."""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from joserfc import jwt
from joserfc.jwk import KeySet

from ostiary.accounts.identity import Liveness
from ostiary.accounts.refused import BURST, SECONDS
from ostiary.core import Proof, Secret
from ostiary.gate.ports import Refused
from ostiary.oauth import Answer, OAuth, TellsTokens
from ostiary.oauth.authentication import ASSERTION_TYPE
from ostiary.oauth.grants import JWT_BEARER, SAML2_BEARER, TOKEN_EXCHANGE
from ostiary.recording import AccessToken, TokenEvent
from tests.accounts.fakes import ME, SOURCE, URL, World, opened
from tests.identity.fakes import NOW, ec_key, sign

JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
EXCHANGE = {"grant_type": TOKEN_EXCHANGE, "subject_token": "a.b.c", "subject_token_type": JWT_TYPE}


class Issuing(World):
    """A world with the endpoints."""

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.tokens is not None
        self.told: list[AccessToken] = []
        self.full = False
        tells = TellsTokens(self.write, self.clock)
        self.oauth = OAuth(self.clients, self.tokens, self.others, ("orders", "stock"), self.clock, tells)

    def write(self, line: AccessToken) -> None:
        """Into the audit log, while there is room."""
        if self.full:
            raise OSError("no space")
        self.told.append(line)

    async def post(
        self,
        endpoint: Callable[[bytes, str, str], Awaitable[Answer]],
        form: dict[str, Any],
        basic: tuple[str, str] | None = None,
        source: str = SOURCE,
    ) -> Answer:
        """A form; `basic`: client id and secret for the Authorization header."""
        header = ""
        if basic is not None:
            header = "Basic " + base64.b64encode(":".join(map(quote_plus, basic)).encode()).decode()
        answer = await endpoint(urlencode(form, doseq=True).encode(), header, source)
        assert answer.headers["Cache-Control"] == "no-store"
        return answer

    async def token(self, form: dict[str, Any], basic: tuple[str, str] | None = None, source: str = SOURCE) -> Answer:
        """At the token endpoint."""
        return await self.post(self.oauth.token, form, basic, source)

    async def credentials(self, secret: Secret, **more: Any) -> Secret:
        """A good token by client credentials."""
        basic = ("billing", secret.reveal_text())
        answer = await self.token({"grant_type": "client_credentials", **more}, basic)
        assert answer.status == 200, answer.body
        return Secret(answer.body["access_token"])

    def claims(self, token: Secret) -> dict[str, Any]:
        """As an outsider verifies it, by the published keys."""
        keys = KeySet.import_key_set(self.oauth.jwks().body)  # type: ignore[arg-type]
        found = jwt.decode(token.reveal_text(), keys, ["ES256"])
        assert found.header["typ"] == "at+jwt"
        return found.claims


@pytest.fixture
def world(tmp_path: Path) -> Issuing:
    """Nobody yet."""
    return Issuing(home=tmp_path)


async def why(world: Issuing, token: Secret, **more: Any) -> str:
    """How a login that must fail is refused."""
    with pytest.raises(Refused) as caught:
        await world.login(token, **more)
    return caught.value.refusal.message


# ---------------------------------------------------------------- client credentials


async def test_a_token_for_a_client(world: Issuing) -> None:
    """Short, for this gateway, after RFC 9068; at the gate it is the same principal as the secret itself."""
    secret = await world.secret(groups=["app"], targets=["orders"])
    answer = await world.token({"grant_type": "client_credentials"}, ("billing", secret.reveal_text()))
    assert (answer.status, answer.body["token_type"], answer.body["expires_in"]) == (200, "Bearer", 600)
    token = Secret(answer.body["access_token"])
    claims = world.claims(token)
    assert {name: claims[name] for name in ("iss", "sub", "aud", "client_id", "iat", "exp", "groups", "targets")} == {
        "iss": URL,
        "sub": "service-accounts:billing",
        "aud": URL,
        "client_id": "billing",
        "iat": NOW,
        "exp": NOW + 600,
        "groups": ["app"],
        "targets": ["orders"],
    }
    principal, direct = await world.login(token), await world.login(secret)
    assert (principal.id, principal.groups, principal.kind) == (direct.id, direct.groups, direct.kind)
    assert (principal.proof_id, principal.session_until) == (claims["jti"], NOW + 660)
    assert 'other targets than "stock"' in await why(world, token, target="stock")
    world.now += 631
    assert "expired" in await why(world, token)


async def test_narrower_than_the_account(world: Issuing) -> None:
    """`audience` names targets; never one that the account may not have, nor one that there is not."""
    secret = await world.secret()
    assert world.claims(await world.credentials(secret, audience=["stock", URL, "stock"]))["targets"] == ["stock"]
    assert "targets" not in world.claims(await world.credentials(secret))
    bound = await world.secret("bound", targets=["orders"])
    for account, given, form in (
        ("bound", bound, {"audience": "stock"}),
        ("billing", secret, {"audience": "nowhere"}),
        ("billing", secret, {"resource": "https://gw.example/orders"}),
    ):
        answer = await world.token({"grant_type": "client_credentials", **form}, (account, given.reveal_text()))
        assert (answer.status, answer.body["error"]) == (400, "invalid_target")


async def test_three_ways_to_authenticate(world: Issuing) -> None:
    """Basic, in the body, by an assertion that is good once; never two at a time."""
    secret = (await world.secret()).reveal_text()
    grant = {"grant_type": "client_credentials"}
    assert (await world.token(grant, ("billing", secret))).status == 200
    assert (await world.token({**grant, "client_id": "billing", "client_secret": secret})).status == 200
    await world.signer("signs")
    assertion = world.assertion(iss="signs", sub="signs").reveal_text()
    signed = {**grant, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
    assert (await world.token(signed)).status == 200
    again = await world.token(signed)
    assert (again.status, again.body["error"]) == (401, "invalid_client")
    assert "used before" in again.body["error_description"]
    both = await world.token({**grant, "client_id": "billing", "client_secret": secret}, ("billing", secret))
    assert (both.status, both.body["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("basic", [("billing", "wrong"), ("nobody", "wrong"), ("billing", ""), ("", "")])
async def test_strangers_learn_nothing(world: Issuing, basic: tuple[str, str]) -> None:
    """The same answer for every client that proves nothing."""
    await world.secret()
    answer = await world.token({"grant_type": "client_credentials"}, basic)
    assert (answer.status, answer.body["error"]) == (401, "invalid_client")
    assert answer.body["error_description"].startswith("token refused: it proves no service account")
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="ostiary"'


async def test_a_disabled_client(world: Issuing) -> None:
    """No new token, and those it has are refused."""
    secret = await world.secret()
    token = await world.credentials(secret)
    await world.control.disable(ME, "billing")
    answer = await world.token({"grant_type": "client_credentials"}, ("billing", secret.reveal_text()))
    assert (answer.status, answer.body["error"]) == (401, "invalid_client")
    assert await why(world, token) == 'token refused: service account "billing" is disabled'
    await world.control.enable(ME, "billing")
    (key,) = world.repository.accounts["billing"].keys
    await world.control.remove_key(ME, "billing", key.key_id)
    assert "removed or has expired" in await why(world, token)


async def test_networks_hold_for_tokens(world: Issuing) -> None:
    """A token that was carried elsewhere is refused."""
    token = await world.credentials(await world.secret(networks=["192.0.2.0/24"]))
    await world.login(token)
    assert "may not come from this address" in await why(world, token, source="198.51.100.1:1")


# ---------------------------------------------------------------- exchange and JWT bearer


async def test_exchange(world: Issuing) -> None:
    """A configured issuer's token becomes one of ours for the same principal, and ends no later."""
    answer = await world.token({**EXCHANGE, "audience": "orders"})
    assert answer.status == 200
    assert answer.body["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert answer.body["expires_in"] == 60
    token = Secret(answer.body["access_token"])
    principal = await world.login(token)
    assert (principal.id, principal.kind, principal.session_until) == ("corp:dana", "human", NOW + 60)
    assert 'other targets than "stock"' in await why(world, token, target="stock")
    asked = world.others.asked[0]
    assert (asked.token.reveal(), asked.source, asked.target) == (b"a.b.c", SOURCE, "")


async def test_bearer(world: Issuing) -> None:
    """The same by RFC 7523: an issuer's token, or an assertion that a service account signed, once."""
    form = {"grant_type": JWT_BEARER, "assertion": sign({"alg": "ES256"}, {"iss": "https://i"}, world.key)}
    answer = await world.token(form)
    assert (await world.login(Secret(answer.body["access_token"]))).id == "corp:dana"
    await world.signer()
    form["assertion"] = world.assertion().reveal_text()
    answer = await world.token(form)
    assert answer.body["expires_in"] == 600
    assert (await world.login(Secret(answer.body["access_token"]))).id == "service-accounts:billing"
    answer = await world.token(form)
    assert (answer.status, answer.body["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "invalid_client"),
        ({"grant_type": "client_credentials", "scope": "all"}, "invalid_scope"),
        ({"grant_type": ["client_credentials", "client_credentials"]}, "invalid_request"),
        ({"grant_type": TOKEN_EXCHANGE}, "invalid_request"),
        ({**EXCHANGE, "subject_token": ""}, "invalid_request"),
        ({**EXCHANGE, "subject_token": "bad"}, "invalid_grant"),
        ({**EXCHANGE, "subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({**EXCHANGE, "requested_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({**EXCHANGE, "actor_token": "x"}, "invalid_request"),
        ({**EXCHANGE, "audience": "nowhere"}, "invalid_target"),
        ({**EXCHANGE, "client_assertion_type": ASSERTION_TYPE}, "invalid_request"),
        ({**EXCHANGE, "client_assertion": "x.y.z"}, "invalid_request"),
        ({"grant_type": JWT_BEARER}, "invalid_request"),
        ({"grant_type": JWT_BEARER, "assertion": "bad"}, "invalid_grant"),
        ({"grant_type": JWT_BEARER, "assertion": sign({"alg": "ES256"}, {"iss": "nobody"}, ec_key())}, "invalid_grant"),
    ],
)
async def test_errors(world: Issuing, form: dict[str, Any], error: str) -> None:
    """RFC 6749 section 5.2: a code, a description of plain characters, no token."""
    answer = await world.token(form)
    assert answer.status == (401 if error == "invalid_client" else 400)
    assert answer.body["error"] == error
    assert "access_token" not in answer.body
    assert '"' not in answer.body.get("error_description", "")


async def test_a_credential_is_its_own_client_s(world: Issuing) -> None:
    """Who names another client with it gets nothing, whichever way it is sent."""
    secret = (await world.secret()).reveal_text()
    await world.secret("other")
    grant = {"grant_type": "client_credentials"}
    for form, basic in (
        (grant, ("other", secret)),
        ({**grant, "client_id": "other", "client_secret": secret}, None),
        ({**grant, "client_secret": secret}, None),
    ):
        answer = await world.token(form, basic)
        assert (answer.status, answer.body["error"]) == (401, "invalid_client")
    answer = await world.token({**grant, "client_id": "other"}, ("billing", secret))
    assert (answer.status, answer.body["error"]) == (400, "invalid_request")


async def test_a_token_that_would_be_over(world: Issuing) -> None:
    """What proves the caller ends within a second, or is taken for good by leeway alone: no token."""
    for left in (0.5, -10.0):
        world.now = NOW + 60 - left
        answer = await world.token(EXCHANGE)
        assert (answer.status, answer.body["error"]) == (400, "invalid_grant")


async def test_a_saml_assertion_is_exchanged(world: Issuing) -> None:
    """It goes to those who know SAML as it came."""
    kind = "urn:ietf:params:oauth:token-type:saml2"
    answer = await world.token({**EXCHANGE, "subject_token": "PHNhbWw+", "subject_token_type": kind})
    assert answer.status == 200
    assert world.others.asked[-1].token.reveal() == b"PHNhbWw+"


async def test_a_body_that_is_no_form(world: Issuing) -> None:
    """Not ASCII, too many fields; nothing is looked at."""
    for body in (b"\xff", b"&".join(b"a%d=1" % number for number in range(40))):
        answer = await world.oauth.token(body, "", SOURCE)
        assert answer.body["error"] == "invalid_request"
    for header in ("Bearer x", "Basic !", "Basic " + base64.b64encode(b"nocolon").decode()):
        answer = await world.oauth.token(b"grant_type=client_credentials", header, SOURCE)
        assert (answer.status, answer.body["error"]) == (401, "invalid_client")


async def test_our_own_token_is_no_ground_for_another(world: Issuing) -> None:
    """It goes to those who verify configured issuers, and they do not know it."""
    token = await world.credentials(await world.secret())
    await world.token({**EXCHANGE, "subject_token": token.reveal_text()})
    assert world.others.asked[-1].token == token


async def test_limits(world: Issuing) -> None:
    """A caller has sixty tokens at once; an address sixty failures; others are served, and it passes."""
    secret = (await world.secret()).reveal_text()
    for _ in range(60):
        assert (await world.token({"grant_type": "client_credentials"}, ("billing", secret))).status == 200
        assert (await world.token({**EXCHANGE, "subject_token": "bad"})).status == 400
    slow = await world.token({"grant_type": "client_credentials"}, ("billing", secret))
    assert (slow.status, slow.body["error"]) == (429, "temporarily_unavailable")
    assert (await world.token(EXCHANGE)).status == 429
    assert (await world.token(EXCHANGE, source="198.51.100.1:1")).status == 200
    world.now += 1
    assert (await world.token({"grant_type": "client_credentials"}, ("billing", secret))).status == 200


# ---------------------------------------------------------------- revocation and introspection


async def test_revocation(world: Issuing) -> None:
    """Its own client's, and then nobody gets in with it and its sessions end; nobody else's; always 200."""
    secret = await world.secret()
    other = ("other", (await world.secret("other")).reveal_text())
    token = await world.credentials(secret)
    principal = await world.login(token)
    live = Liveness(world.repository, world.clock)
    for basic in (other, None):
        assert (await world.post(world.oauth.revoke, {"token": token.reveal_text()}, basic)).status == 200
        assert await live.ended([opened(principal)]) == [""]
    basic = ("billing", secret.reveal_text())
    for _ in range(2):
        answer = await world.post(world.oauth.revoke, {"token": token.reveal_text()}, basic)
        assert (answer.status, answer.body) == (200, {})
    assert await live.ended([opened(principal)]) == ["its token was revoked"]
    assert "was revoked" in await why(world, token)
    await world.login(secret)
    assert (await world.post(world.oauth.revoke, {"token": "x"}, basic)).status == 200
    assert (await world.post(world.oauth.revoke, {"token": "x"}, ("billing", "no"))).status == 401
    assert (await world.post(world.oauth.revoke, {}, basic)).status == 400


async def test_who_exchanged_a_token_revokes_it(world: Issuing) -> None:
    """There is no client: having it is enough; its sessions end although no account stands behind them."""
    token = Secret((await world.token(EXCHANGE)).body["access_token"])
    principal = await world.login(token)
    await world.post(world.oauth.revoke, {"token": token.reveal_text()})
    assert "was revoked" in await why(world, token)
    live = Liveness(world.repository, world.clock)
    assert await live.ended([opened(principal)]) == ["its token was revoked"]


async def test_introspection(world: Issuing) -> None:
    """For clients only: what a good token says; of anything else, that it is not active."""
    secret = await world.secret(groups=["app"])
    basic = ("billing", secret.reveal_text())
    token = await world.credentials(secret)

    async def asked(text: str) -> dict[str, Any]:
        return (await world.post(world.oauth.introspect, {"token": text}, basic)).body

    told = await asked(token.reveal_text())
    assert (told["active"], told["sub"], told["exp"]) == (True, "service-accounts:billing", NOW + 600)
    assert "key" not in told
    assert await asked("x.y.z") == {"active": False}
    assert await asked(secret.reveal_text()) == {"active": False}
    assert (await world.post(world.oauth.introspect, {"token": token.reveal_text()})).status == 401
    exchanged = (await world.token(EXCHANGE)).body["access_token"]
    await world.post(world.oauth.revoke, {"token": exchanged})
    assert await asked(exchanged) == {"active": False}
    world.now += 631
    assert await asked(token.reveal_text()) == {"active": False}


# ---------------------------------------------------------------- forged tokens, metadata


@pytest.mark.parametrize(
    "change",
    [{"aud": "https://other"}, {"exp": None}, {"cnf": {"x5t#S256": "x"}}, {"exp": NOW - 31}, {"nbf": NOW + 99}],
)
async def test_what_our_key_signs_is_still_checked(world: Issuing, change: dict[str, Any]) -> None:
    """Another audience, no end, bound to a key that can't be proven here, not now."""
    claims = world.claims(await world.credentials(await world.secret()))
    said = {name: value for name, value in {**claims, **change}.items() if value is not None}
    signer = world.keys.signer()
    forged = sign({"alg": "ES256", "kid": signer.kid}, said, signer.key)
    assert "token refused" in await why(world, Secret(forged))
    assert world.others.asked == []


async def test_other_keys_sign_nothing_of_ours(world: Issuing) -> None:
    """Whatever `kid` says."""
    claims = world.claims(await world.credentials(await world.secret()))
    other = ec_key()
    for kid in (world.keys.signer().kid, "k1", None):
        header = {"alg": "ES256"} | ({"kid": kid} if kid else {})
        assert "not signed by this gateway" in await why(world, Secret(sign(header, claims, other)))


def test_metadata(world: Issuing) -> None:
    """What authlib holds to be RFC 8414, and every endpoint at the issuer's host."""
    document = AuthorizationServerMetadata(world.oauth.metadata().body)
    for check in ("issuer", "token_endpoint", "jwks_uri", "grant_types_supported"):
        getattr(document, f"validate_{check}")()
    assert document["issuer"] == URL
    assert document["token_endpoint"] == f"{URL}/oauth/token"
    assert not any("d" in key for key in world.oauth.jwks().body["keys"])


# ---------------------------------------------------------------- bound to a certificate


async def test_a_token_is_bound_to_the_certificate_it_was_asked_for_with(world: Issuing) -> None:
    """RFC 8705 §3: `cnf` in the token and in introspection; good with that certificate first, and no other way."""
    secret = (await world.secret()).reveal_text()
    basic = "Basic " + base64.b64encode(f"billing:{secret}".encode()).decode()
    body = b"grant_type=client_credentials"
    token = Secret((await world.oauth.token(body, basic, SOURCE, b"leaf")).body["access_token"])
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"leaf").digest()).rstrip(b"=").decode()
    assert world.claims(token)["cnf"] == {"x5t#S256": digest}
    told = await world.post(world.oauth.introspect, {"token": token.reveal_text()}, ("billing", secret))
    assert told.body["cnf"] == {"x5t#S256": digest}
    good = await world.identity.identify(bound(token, b"leaf", b"root"))
    assert good.id == "service-accounts:billing"
    for shown in ((), (b"other",), (b"root", b"leaf")):
        with pytest.raises(Refused, match="bound to a client certificate"):
            await world.identity.identify(bound(token, *shown))
    assert "cnf" not in world.claims(await world.credentials(Secret(secret)))
    assert world.oauth.metadata().body["tls_client_certificate_bound_access_tokens"] is False


def bound(token: Secret, *certificates: bytes) -> Proof:
    """Token and chain of one connection."""
    return Proof(token, "orders", SOURCE, encrypted=True, loopback=False, certificates=certificates)


# ---------------------------------------------------------------- SAML assertions


async def test_a_saml_assertion_gives_one_token(world: Issuing) -> None:
    """RFC 7522: as base64url, verified by who knows its issuer; a second use is refused, wherever the first one was."""
    form = {"grant_type": SAML2_BEARER, "assertion": "PHNhbWw"}
    wrong = await world.token({**form, "audience": "nowhere"})
    assert (wrong.status, wrong.body["error"]) == (400, "invalid_target")
    answer = await world.token({**form, "audience": "stock"})
    assert answer.status == 200
    assert world.others.asked[-1].token == Secret("PHNhbWw")
    assert (await world.login(Secret(answer.body["access_token"]), "stock")).id == "corp:dana"
    again = await world.token(form)
    assert (again.status, again.body["error"]) == (400, "invalid_grant")
    assert "used before" in again.body["error_description"]
    assert world.repository.used_up == {"saml:corp:jti": NOW + 60 + 3600}
    assert SAML2_BEARER in world.oauth.metadata().body["grant_types_supported"]


@pytest.mark.parametrize("assertion", ["a.b.c", "PHN/", "PH+h", "PHNhbWw===", "{}", "PH\nhb"])
async def test_what_is_no_saml_assertion(world: Issuing, assertion: str) -> None:
    """Anything but base64url is not even looked at; one that is refused is a grant that is not good."""
    answer = await world.token({"grant_type": SAML2_BEARER, "assertion": assertion})
    assert (answer.status, answer.body["error"], world.others.asked) == (400, "invalid_request", [])
    answer = await world.token({"grant_type": SAML2_BEARER, "assertion": "bad"})
    assert (answer.body["error"], world.repository.used_up) == ("invalid_grant", {})


async def test_an_assertion_whose_id_says_nothing(world: Issuing) -> None:
    """What is known by a digest of its encoding could be encoded anew, and used again."""
    assert world.tokens is not None
    named = await world.others.identify(bound(Secret("PHNhbWw")))
    with pytest.raises(Refused, match=r"its id \(ID\) is missing"):
        await world.tokens.use_up(replace(named, proof_id="sha256:00"))


# ---------------------------------------------------------------- what is written down


async def test_a_token_is_written_down(world: Issuing) -> None:
    """Issued, refused and revoked: whose, by which grant, for what, until when; never the token or what proved it."""
    secret = await world.secret(targets=["orders"])
    token = await world.credentials(secret)
    jti = world.claims(token)["jti"]
    basic = ("billing", secret.reveal_text())
    await world.token({"grant_type": "client_credentials", "audience": "stock"}, basic)
    await world.token({"grant_type": "client_credentials"}, ("billing", "osa_wrong"))
    await world.token({"grant_type": "password"}, basic)
    await world.post(world.oauth.revoke, {"token": token.reveal_text()}, basic)
    issued, bounds, unproven, unknown, revoked = world.told
    who, ends = "service-accounts:billing", NOW + 600
    grant, targets = "client_credentials", ("orders",)
    assert issued == AccessToken(TokenEvent.ISSUED, "billing", who, grant, targets, jti, ends, SOURCE, "")
    assert (bounds.event, bounds.client, bounds.grant) == (TokenEvent.REFUSED, "billing", grant)
    assert bounds.reason.startswith("invalid_target: audience must name targets")
    assert (unproven.client, unproven.principal, unproven.reason[:14]) == ("", "", "invalid_client")
    assert (unknown.grant, unknown.reason) == ("", "unsupported_grant_type")
    assert revoked == AccessToken(TokenEvent.REVOKED, "billing", who, "", targets, jti, ends, SOURCE, "")
    shown = repr(world.told)
    assert token.reveal_text() not in shown
    assert secret.reveal_text() not in shown


async def test_what_cannot_be_written_is_not_issued(world: Issuing) -> None:
    """An issue is refused for now, which is no failure of the client's; a revocation is made all the same."""
    secret = await world.secret()
    token = await world.credentials(secret)
    basic = ("billing", secret.reveal_text())
    world.full = True
    answer = await world.token({"grant_type": "client_credentials"}, basic)
    assert (answer.status, answer.body["error"]) == (503, "temporarily_unavailable")
    assert (await world.post(world.oauth.revoke, {"token": token.reveal_text()}, basic)).status == 200
    assert "was revoked" in await why(world, token)


async def test_a_flood_of_refusals_is_a_few_lines(world: Issuing) -> None:
    """A burst, then one that counts the rest."""
    for _ in range(BURST + 7):
        await world.token({"grant_type": "password"})
    assert len(world.told) == BURST
    world.now += SECONDS
    await world.token({"grant_type": "password"})
    assert world.told[-1].reason == "unsupported_grant_type (7 more were refused since the last line)"
