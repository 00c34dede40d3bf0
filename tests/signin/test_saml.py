"""Signing in at a SAML identity provider: what goes out, what is taken, and every way of being cheated."""

import asyncio
import zlib
from base64 import b64decode
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree

from ostiary.core import PrincipalKind
from ostiary.gate.ports import Refused
from ostiary.identity import SamlIssuer
from ostiary.identity.groups import GroupNames
from ostiary.signin.logins import SamlLogin
from ostiary.signin.saml import SamlWay, sign_on_url
from ostiary.signin.saml_key import ALGORITHM, SamlKey
from ostiary.signin.ways import PENDING_SECONDS, Pending
from tests.identity.fakes import NOW
from tests.identity.saml_kit import (
    ENTITY,
    KEYS,
    NS,
    OTHER,
    Element,
    assertion,
    attributes,
    metadata,
    password,
    response,
    sign,
    stamp,
)
from tests.identity.saml_wrapping import ATTACKS
from tests.signin.kit import GATEWAY, Spent

SP = f"{GATEWAY}/login/saml/corp/metadata"
ACS = f"{GATEWAY}/login/saml/corp/acs"
SSO = "https://idp.example/sso?tenant=1"
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
AUDIENCE = "<saml:AudienceRestriction><saml:Audience>{}</saml:Audience></saml:AudienceRestriction>"
SIGNED_IN = f'<saml:AuthnStatement AuthnInstant="{stamp(NOW)}"/>'


def with_sign_on(text: str, place: str = SSO, binding: str = REDIRECT) -> str:
    """Metadata that name a place to sign in at."""
    service = f'<md:SingleSignOnService Binding="{binding}" Location="{place}"/>'
    return text.replace("</md:IDPSSODescriptor>", f"{service}</md:IDPSSODescriptor>")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SamlKey:
    """Of this gateway."""
    return SamlKey(tmp_path_factory.mktemp("key") / "saml.pem")


class World:
    """One provider, this gateway's way of signing in there, a clock."""

    def __init__(self, tmp_path: Path, key: SamlKey, **settings: object) -> None:
        self.now = NOW
        self.spent = Spent()
        file = tmp_path / "idp.xml"
        file.write_text(with_sign_on(metadata(KEYS.certificate())))
        given = {"name": "corp", "entity_id": ENTITY, "metadata": file, "groups": ("{groups}",), **settings}
        issuer = SamlIssuer(audiences=("ostiary",), recipients=("https://gateway.example/saml",), **given)  # type: ignore[arg-type]
        self.login = SamlLogin(issuer=issuer, gateway=GATEWAY, title="Acme staff")
        names = GroupNames(issuer.templates)
        self.way = SamlWay(self.login, key, names, self.spent, lambda: self.now)
        self.pending = Pending.begun("corp", NOW)

    def parts(self, **changes: str) -> dict[str, str]:
        """Of an assertion that answers what is pending."""
        return {
            "audience": AUDIENCE.format(SP),
            "recipient": ACS,
            "confirmation": f'InResponseTo="{self.pending.request_id}"',
            "more": SIGNED_IN,
            **changes,
        }

    def around(self, **changes: str) -> dict[str, str]:
        """Of the Response."""
        return {"destination": ACS, "more": f'InResponseTo="{self.pending.request_id}"', **changes}

    def answer(self, **changes: str) -> Element:
        """A good Response, whose assertion is signed."""
        return response(sign(assertion(**self.parts(**changes))), **self.around())

    async def finish(
        self, document: Element | str | bytes, **changes: str
    ) -> tuple[str, PrincipalKind, frozenset[str]]:
        """What the assertion consumer service would do."""
        form = {"SAMLResponse": password(document).decode(), "RelayState": self.pending.state, **changes}
        principal = await self.way.finish(self.pending, form)
        return principal.id, principal.kind, principal.groups

    async def refused(self, document: Element | str | bytes, **changes: str) -> str:
        """The sentence. It never quotes the document."""
        with pytest.raises(Refused) as caught:
            await self.finish(document, **changes)
        told = caught.value.refusal
        assert told.message.startswith("sign-in refused: ")
        assert "eve" not in f"{told}"
        assert "ada" not in f"{told}"
        return told.message.removeprefix("sign-in refused: ").removeprefix(
            "the identity provider's response is not good: "
        )


@pytest.fixture
def world(tmp_path: Path, key: SamlKey) -> World:
    """One provider."""
    return World(tmp_path, key)


# ---------------------------------------------------------------- out


async def test_what_goes_out(world: World, key: SamlKey) -> None:
    """An AuthnRequest for this very sign-in, and a signature over the query as it stands."""
    url = (await world.way.begin(world.pending)).url
    assert url.startswith(f"{SSO}&SAMLRequest=")
    query = urlsplit(url).query.removeprefix("tenant=1&")
    signed, _, signature = query.partition("&Signature=")
    given = dict(parse_qsl(query, strict_parsing=True))
    assert [name for name, _ in parse_qsl(query)] == ["SAMLRequest", "RelayState", "SigAlg", "Signature"]
    assert (given["RelayState"], given["SigAlg"]) == (world.pending.state, ALGORITHM)
    assert len(given["RelayState"]) <= 80
    public = x509.load_der_x509_certificate(key.certificate).public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(b64decode(given["Signature"]), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    assert signature == quote(given["Signature"], safe="")
    request = etree.fromstring(zlib.decompress(b64decode(given["SAMLRequest"]), -15))
    assert request.tag == f"{{{NS['samlp']}}}AuthnRequest"
    assert {str(name): str(value) for name, value in request.items()} == {
        "ID": world.pending.request_id,
        "Version": "2.0",
        "IssueInstant": stamp(NOW),
        "Destination": SSO,
        "ProtocolBinding": POST,
        "AssertionConsumerServiceURL": ACS,
    }
    assert request.findtext(f"{{{NS['saml']}}}Issuer") == SP


def test_own_metadata(world: World, key: SamlKey) -> None:
    """What the provider's operator is given."""
    root = etree.fromstring(world.way.metadata())
    md = "{urn:oasis:names:tc:SAML:2.0:metadata}"
    assert root.get("entityID") == SP
    (descriptor,) = root
    assert (descriptor.get("AuthnRequestsSigned"), descriptor.get("WantAssertionsSigned")) == ("true", "true")
    service = descriptor.find(f"{md}AssertionConsumerService")
    assert service is not None
    assert (service.get("Location"), service.get("Binding")) == (ACS, POST)
    certificate = descriptor.findtext(f"{md}KeyDescriptor//{{{NS['ds']}}}X509Certificate")
    assert certificate is not None
    assert b64decode(certificate) == key.certificate
    assert (world.way.name, world.way.title, world.way.path) == ("corp", "Acme staff", "/login/saml/corp")


# ---------------------------------------------------------------- back


async def test_a_person_signs_in(tmp_path: Path, key: SamlKey) -> None:
    """The assertion signed, the Response, or both; from whatever address the browser comes."""
    for signed in ("assertion", "response", "both"):
        world = World(tmp_path, key)
        confirmation = f'InResponseTo="{world.pending.request_id}" Address="10.9.8.7"'
        inner = assertion(**world.parts(confirmation=confirmation))
        document = response(sign(inner) if signed != "response" else inner, **world.around())
        if signed != "assertion":
            document = sign(document)
        assert await world.finish(document) == ("corp:ada@example.test", PrincipalKind.HUMAN, frozenset({"dev", "sre"}))


async def test_another_state(world: World) -> None:
    """Login CSRF: nobody is signed in by an answer to what another browser began, however good it is."""
    why = "the answer does not belong to the sign-in that this browser began"
    for state in ("", "x" * 43, Pending.begun("corp", NOW).state):
        assert await world.refused(world.answer(), RelayState=state) == why
    with pytest.raises(Refused, match="does not belong"):
        await world.way.finish(world.pending, {"SAMLResponse": password(world.answer()).decode()})
    world.pending = Pending.begun("other", NOW)
    assert await world.refused(world.answer()) == why


async def test_too_late(world: World) -> None:
    """After ten minutes nothing is pending."""
    world.now += PENDING_SECONDS
    assert await world.refused(world.answer()) == "it took too long"


async def test_replay(tmp_path: Path, key: SamlKey) -> None:
    """The same answer again, and the same assertion under another request that it was made to name."""
    world = World(tmp_path, key)
    document = world.answer()
    await world.finish(document)
    assert await world.refused(document) == "it was answered before"
    pending, world.pending = world.pending, Pending.begun("corp", NOW)
    assert "InResponseTo" in await world.refused(document)
    world.pending = Pending.begun("corp", NOW)
    assert await world.refused(world.answer()) == "its assertion was used before"
    world.pending = Pending.begun("corp", NOW)
    assert (await world.finish(world.answer(id="_a2")))[0] == "corp:ada@example.test"
    assert pending.request_id not in str(world.spent.ids)


async def test_an_assertion_is_remembered_as_long_as_it_is_good(world: World) -> None:
    """And by its identity provider, since ids are its own."""
    await world.finish(world.answer())
    assert world.spent.ids["saml:corp:_a1"] == NOW + 330


@pytest.mark.parametrize("where", ["response", "assertion"])
@pytest.mark.parametrize("value", ["", 'InResponseTo=""', 'InResponseTo="_other"'], ids=["missing", "empty", "other"])
async def test_in_response_to(world: World, where: str, value: str) -> None:
    """Unsolicited, or an answer to another request: refused in the signed part and in the one around it."""
    parts = world.parts(confirmation=value) if where == "assertion" else world.parts()
    around = world.around(more=value) if where == "response" else world.around()
    document = response(sign(assertion(**parts)), **around)
    assert await world.refused(document) == "it does not answer the request of this sign-in (InResponseTo)"


async def test_an_assertion_alone(world: World) -> None:
    """As a program would send it, or inside another element."""
    assert await world.refused(sign(assertion(**world.parts()))) == "it is no Response"


RULES = [
    ({"issuer": "https://evil.example"}, "its issuer is not one of those configured here"),
    ({"audience": AUDIENCE.format("ostiary")}, "it was made for another audience"),
    ({"audience": AUDIENCE.format(f"{SP}2")}, "it was made for another audience"),
    ({"audience": ""}, "it was made for another audience"),
    ({"recipient": "https://gateway.example/saml"}, "it was sent to another recipient"),
    ({"recipient": f"{GATEWAY}/login/saml/other/acs"}, "it was sent to another recipient"),
    ({"method": "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"}, "it is not confirmed for its bearer"),
    ({"confirmed_until": stamp(NOW - 30)}, "it has expired"),
    ({"ends": stamp(NOW - 30)}, "it has expired"),
    ({"begins": stamp(NOW + 31)}, "it is not valid yet"),
    ({"issued": stamp(NOW + 31)}, "it was issued in the future"),
    ({"more": ""}, "it does not say that anybody signed in"),
    ({"name_id": ""}, "its subject (NameID) is missing"),
]


@pytest.mark.parametrize(("parts", "sentence"), RULES, ids=[f"{n}-{next(iter(p))}" for n, (p, _) in enumerate(RULES)])
async def test_an_assertion_that_is_not_good(world: World, parts: dict[str, str], sentence: str) -> None:
    """Properly signed, an answer to this request, and refused for what it says."""
    assert (await world.refused(world.answer(**parts))).startswith(sentence)


async def test_a_name_that_is_another_one_each_time(world: World) -> None:
    """A transient NameID is nobody who could be given rights."""
    transient = '<saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient">'
    text = assertion(**world.parts()).replace("<saml:NameID>", transient)
    assert "transient" in await world.refused(response(sign(text), **world.around()))


@pytest.mark.parametrize("signed", [False, True])
async def test_a_response_that_is_not_good(tmp_path: Path, key: SamlKey, signed: bool) -> None:
    """Its destination, status and issuer count, signed or not."""
    cases = [
        ({"destination": "https://other"}, "recipient"),
        ({"issuer": "https://other"}, "another issuer"),
        ({"status": "Responder"}, "success"),
    ]
    for around, sentence in cases:
        world = World(tmp_path, key)
        document = response(sign(assertion(**world.parts())), **world.around(**around))
        assert sentence in await world.refused(sign(document) if signed else document)


async def test_a_signed_response_without_a_destination(world: World) -> None:
    """Could be brought anywhere (SAML bindings §3.5.5.2)."""
    document = response(sign(assertion(**world.parts())), **world.around())
    del document.attrib["Destination"]
    assert await world.refused(sign(document)) == "the response is signed and names no destination"


async def test_a_failure_in_place_of_an_assertion(world: World) -> None:
    """What the provider says when nobody signed in."""
    assert await world.refused(response(**world.around(status="Responder"))) == (
        "it is neither a SAML 2.0 Assertion nor a Response with one"
    )


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.__name__)
async def test_signature_wrapping(world: World, attack) -> None:  # type: ignore[no-untyped-def]
    """The eight shapes, as answers to this very request."""
    document = attack(world.parts(), world.around())
    assert b"eve" in etree.tostring(document)
    assert await world.refused(document) == "it holds more than one assertion"


async def test_signatures(tmp_path: Path, key: SamlKey) -> None:
    """Missing, by another key, or broken by a changed byte."""
    wrong = "its signature is not one of the identity provider's"
    world = World(tmp_path, key)
    good = etree.tostring(world.answer())
    for document, sentence in (
        (response(assertion(**world.parts()), **world.around()), "it is not signed"),
        (response(sign(assertion(**world.parts()), OTHER), **world.around()), wrong),
        (sign(response(assertion(**world.parts()), **world.around()), OTHER), wrong),
        (good.replace(b"ada@", b"eve@"), wrong),
        (good.replace(b">dev<", b">dba<"), wrong),
    ):
        world.spent.ids.clear()
        assert await world.refused(document) == sentence
    world.spent.ids.clear()
    await world.finish(good)


async def test_documents(tmp_path: Path, key: SamlKey) -> None:
    """XXE, a comment in the NameID, an encrypted assertion, a bomb, a huge one, none at all."""
    world = World(tmp_path, key)
    good = etree.tostring(world.answer(name_id="ada@example.test.eve.example"))
    dtd = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    encrypted = f"<saml:EncryptedAssertion xmlns:saml='{NS['saml']}'/>"
    for document, sentence in (
        (dtd + good.replace(b">dev<", b">&e;<"), "it holds a DTD"),
        (good.replace(b"test.eve", b"test<!-- -->.eve"), "it holds a comment"),
        (response(encrypted, **world.around()), "its assertion is encrypted, which this gateway does not take"),
        (b"<x>" * 25, "its elements are nested more than 24 deep"),
        (b"<x>" + b" " * 65536 + b"</x>", "it is longer than 64 KiB"),
        (b"", "it is neither a JWT nor a SAML assertion in base64"),
    ):
        world.spent.ids.clear()
        assert (await world.refused(document)).startswith(sentence)
    world.spent.ids.clear()
    bomb = password(b"<x>" + b" " * 10_000_000 + b"</x>", deflate=True).decode()
    assert await world.refused(good, SAMLResponse=bomb) == "it is longer than 64 KiB"


async def test_one_time_is_not_counted_twice(tmp_path: Path, key: SamlKey) -> None:
    """What is kept of assertions of machines, in one process, is not asked about people."""
    assert not World(tmp_path, key, one_time=True).login.issuer.one_time


async def test_bindings(tmp_path: Path, key: SamlKey) -> None:
    """Attributes that must have a value, and groups that can't be made."""
    world = World(tmp_path, key, bind={"dept": "shop"})
    assert "does not have a value" in await world.refused(world.answer())
    world.spent.ids.clear()
    good = world.answer(attributes=attributes({"dept": ["shop"], "groups": ["dev"]}))
    assert (await world.finish(good))[2] == {"dev"}


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (metadata(KEYS.certificate()), "names no SingleSignOnService with the HTTP-Redirect binding"),
        (with_sign_on(metadata(KEYS.certificate()), binding=POST), "names no SingleSignOnService"),
        (with_sign_on(metadata(KEYS.certificate()), "http://idp.example/"), "must be an https URL"),
        (with_sign_on(metadata(KEYS.certificate()), "javascript:alert(1)"), "must be an https URL"),
        (with_sign_on(metadata(KEYS.certificate()), "https://idp.example/#x"), "with a fragment"),
    ],
)
def test_metadata_that_will_not_do(world: World, text: str, sentence: str) -> None:
    """Where nobody could be sent to."""
    world.login.issuer.metadata.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        sign_on_url(world.login)


def test_the_key_is_made_once_and_kept(tmp_path: Path) -> None:
    """For its owner alone; one that others can read, or that is none, is not used."""
    path = tmp_path / "keys" / "saml.pem"
    first = SamlKey(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SamlKey(path).certificate == first.certificate
    assert list(path.parent.iterdir()) == [path]
    assert repr(first) == "SamlKey(***)"
    pem = path.read_bytes()
    small = rsa.generate_private_key(65537, 1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content, mode, sentence in (
        (pem, 0o640, "chmod 600"),
        (small + pem[pem.index(b"-----BEGIN CERTIFICATE") :], 0o600, "at least 2048 bits"),
        (b"x", 0o600, "does not hold a private key and its certificate"),
        (pem.partition(b"-----BEGIN CERTIFICATE")[0], 0o600, "does not hold a private key and its certificate"),
        (
            pem.partition(b"-----BEGIN CERTIFICATE")[0] + OTHER.certificate().public_bytes(Encoding.PEM),
            0o600,
            "the certificate of another key",
        ),
    ):
        path.write_bytes(content)
        path.chmod(mode)
        with pytest.raises(ValueError, match=sentence):
            SamlKey(path)


def test_of_two_first_starts_one_wins(tmp_path: Path) -> None:
    """Both have the same key."""

    async def both() -> set[bytes]:
        made = await asyncio.gather(*(asyncio.to_thread(SamlKey, tmp_path / "saml.pem") for _ in range(2)))
        return {each.certificate for each in made}

    assert len(asyncio.run(both())) == 1
