"""SAML assertions: what is taken, and a table of what is refused and why."""

import re
from base64 import b64decode, b64encode, urlsafe_b64encode
from copy import deepcopy
from pathlib import Path

import pytest
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.verifier import SignatureConfiguration, XMLVerifier

from ostiary.core import PrincipalKind
from ostiary.gate.ports import Refused
from ostiary.identity import Identities, OidcIssuer, SamlIssuer
from ostiary.identity.saml.service import MAX_USED
from tests.identity.fakes import NOW, URL, Web
from tests.identity.saml_kit import (
    ACS,
    ENTITY,
    KEYS,
    NS,
    OTHER,
    Element,
    SamlWorld,
    assertion,
    attributes,
    metadata,
    password,
    response,
    sign,
    stamp,
)
from tests.identity.saml_wrapping import ATTACKS, xsw1, xsw4, xsw6, xsw8

SAML = f"{{{NS['saml']}}}"
DS = f"{{{NS['ds']}}}"


@pytest.fixture
def world(tmp_path: Path) -> SamlWorld:
    """One provider."""
    return SamlWorld(tmp_path)


async def refused(world: SamlWorld, document: Element | str | bytes) -> str:
    """The sentence. It never quotes the document."""
    return await turned_away(world, password(document))


async def turned_away(world: SamlWorld, raw: bytes) -> str:
    """The sentence about a password."""
    with pytest.raises(Refused) as caught:
        await world.present(raw)
    sentence = caught.value.refusal.message
    assert sentence.startswith("token refused: ")
    assert "ada@" not in str(caught.value.refusal)
    assert "eve" not in str(caught.value.refusal)
    return sentence.removeprefix("token refused: ")


# ---------------------------------------------------------------- taken


async def test_an_assertion_becomes_a_principal(world: SamlWorld) -> None:
    """NameID, groups from an attribute, times, and the assertion's id for the record."""
    principal = await world.identify(sign(assertion()))
    assert (principal.id, principal.kind) == ("corp:ada@example.test", PrincipalKind.WORKLOAD)
    assert principal.groups == {"dev", "sre"}
    assert (principal.expires_at, principal.session_until) == (NOW + 300, NOW + 360)
    assert principal.proof_id == "_a1"
    assert principal.claims == {"email": "ada@example.test"}


@pytest.mark.parametrize("deflate", [False, True])
async def test_encodings(world: SamlWorld, deflate: bool) -> None:
    """base64 and base64url, with and without padding and line ends, plain and deflated, with a declaration."""
    document = b'<?xml version="1.0" encoding="UTF-8"?>\n' + etree.tostring(sign(assertion()))
    raw = password(document, deflate=deflate)
    for each in (raw, raw.rstrip(b"="), raw.translate(bytes.maketrans(b"+/", b"-_")), raw[:76] + b"\r\n" + raw[76:]):
        assert (await world.present(each)).subject == "ada@example.test"


async def test_responses(world: SamlWorld) -> None:
    """A Response counts when its assertion is signed, when it is signed itself, or both."""
    signed = sign(assertion())
    for document in (response(deepcopy(signed)), sign(response(assertion())), sign(response(deepcopy(signed)))):
        assert (await world.identify(document)).subject == "ada@example.test"


async def test_session_not_on_or_after_ends_the_session(world: SamlWorld) -> None:
    """The earliest end of all counts."""
    more = f'<saml:AuthnStatement AuthnInstant="{stamp(NOW)}" SessionNotOnOrAfter="{stamp(NOW + 60)}"/>'
    assert (await world.identify(sign(assertion(more=more)))).expires_at == NOW + 60


async def test_a_password_serves_until_it_expires(world: SamlWorld) -> None:
    """Several connections; the clocks may differ by the leeway; then it is refused."""
    raw = password(sign(assertion()))
    for later in (0, 200, 329):
        world.now = NOW + later
        assert (await world.present(raw)).expires_at == NOW + 300
    world.now = NOW + 330
    assert await turned_away(world, raw) == "it has expired"


@pytest.mark.parametrize("how", ["setting", "condition"])
async def test_one_time(tmp_path: Path, how: str) -> None:
    """With `one_time`, or where the assertion demands it, it opens one session."""
    world = SamlWorld(tmp_path, one_time=how == "setting")
    raw = password(sign(assertion(conditions="<saml:OneTimeUse/>" if how == "condition" else "")))
    await world.present(raw)
    assert await turned_away(world, raw) == "it was used before, and may be used once only"
    await world.identify(sign(assertion(id="_a2", conditions="<saml:OneTimeUse/>")))


async def test_the_replay_cache_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full one refuses instead of forgetting, until something in it has expired."""
    assert MAX_USED == 10_000
    monkeypatch.setattr("ostiary.identity.saml.service.MAX_USED", 2)
    world = SamlWorld(tmp_path, one_time=True)
    for name in ("_1", "_2"):
        await world.identify(sign(assertion(id=name)))
    assert "can remember" in await refused(world, sign(assertion(id="_3")))
    assert "used before" in await refused(world, sign(assertion(id="_2")))
    world.now += 400
    await world.identify(
        sign(assertion(id="_3", confirmed_until=stamp(NOW + 900), ends=stamp(NOW + 900), begins=stamp(NOW)))
    )


async def test_attributes(tmp_path: Path) -> None:
    """Bound whole; several values make a group each, in one Attribute or several; what is not text fits nothing."""
    world = SamlWorld(tmp_path, bind={"dept": "shop"}, groups=("{groups}", "mail/{email}"))
    good = {"groups": ["a"], "dept": ["shop"], "email": ["x@y"]}
    more = attributes({"groups": ["b"]})
    assert (await world.identify(sign(assertion(attributes=attributes(good), more=more)))).groups == {
        "a",
        "b",
        "mail/x@y",
    }
    for dept in ([], ["shop", "x"], ["shops"], ["sho"]):
        sentence = await refused(world, sign(assertion(attributes=attributes({**good, "dept": dept}))))
        assert sentence == 'its claim "dept" does not have a value that issuer "corp" is bound to'
    odd = attributes(good).replace(">a<", "><x>a</x><")
    assert 'the claim "groups" is not plain text' in await refused(world, sign(assertion(attributes=odd)))


async def test_groups_of_other_issuers_are_not_imitated(world: SamlWorld) -> None:
    """Group names are owned across all kinds of issuers; each proof finds its kind."""
    oidc = OidcIssuer("ci", URL, ("ostiary",), groups=("repo/{repository}",))
    world.identity = Identities([oidc, world.issuer], Web(), lambda: NOW)
    assert "imitate" in await refused(world, sign(assertion(attributes=attributes({"groups": ["repo/acme"]}))))
    assert (await world.identify(sign(assertion()))).issuer == "corp"
    assert "is not base64url" in await turned_away(world, b"a.b.c")
    with pytest.raises(ValueError, match="the same name"):
        Identities([OidcIssuer("corp", URL, ("x",)), world.issuer], Web(), lambda: NOW)
    other = SamlIssuer("corp2", ENTITY, world.issuer.metadata, ("x",), (ACS,))
    with pytest.raises(ValueError, match="same entity_id"):
        Identities([other, world.issuer], Web(), lambda: NOW)


# ---------------------------------------------------------------- refused

LATER = stamp(NOW + 31)
AUDIENCE = "<saml:AudienceRestriction><saml:Audience>{}</saml:Audience></saml:AudienceRestriction>"
RULES = [
    ({"issuer": "https://idp.example/metadata/"}, "its issuer is not one of those configured here"),
    ({"issuer": "https://idp.example"}, "its issuer is not one of those configured here"),
    ({"issuer": f"{ENTITY}</saml:Issuer><saml:Issuer>{ENTITY}"}, "its issuer is not one of those configured here"),
    ({"audience": ""}, "it was made for another audience"),
    ({"audience": AUDIENCE.format("other")}, "it was made for another audience"),
    ({"audience": AUDIENCE.format("ostiary2")}, "it was made for another audience"),
    ({"audience": AUDIENCE.format(" ostiary")}, "it was made for another audience"),
    ({"audience": AUDIENCE.format("ostiary") + AUDIENCE.format("other")}, "it was made for another audience"),
    ({"recipient": f"{ACS}/"}, "it was sent to another recipient"),
    ({"recipient": "https://other.example/saml"}, "it was sent to another recipient"),
    ({"method": "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"}, "it is not confirmed for its bearer"),
    ({"confirmed_until": stamp(NOW - 30)}, "it has expired"),
    ({"ends": stamp(NOW - 30)}, "it has expired"),
    ({"begins": LATER}, "it is not valid yet (NotBefore)"),
    ({"confirmation": f'NotBefore="{LATER}"'}, "it is not valid yet (NotBefore)"),
    ({"confirmation": 'Address="10.0.0.8"'}, "it was issued to a client at another address"),
    ({"issued": LATER}, "it was issued in the future"),
    ({"ends": "2126-01-01"}, "its NotOnOrAfter is not a time in UTC"),
    ({"ends": "2126-01-01T00:00:00+02:00"}, "its NotOnOrAfter is not a time in UTC"),
    ({"ends": "2126-02-31T00:00:00Z"}, "its NotOnOrAfter is not a time in UTC"),
    ({"version": "1.1"}, "it is not of SAML 2.0"),
    ({"conditions": '<saml:Condition xmlns:x="u:x"/>'}, "it has a condition that this gateway does not know"),
    ({"more": "<saml:Conditions/>"}, "it does not have one set of conditions"),
    ({"name_id": ""}, "its subject (NameID) is missing"),
    ({"name_id": " ada"}, "its subject (NameID) is missing"),
    ({"name_id": "ada<x/>.eve"}, "its subject (NameID) is missing"),
    ({"name_id": "a" * 257}, "its subject (NameID) is missing"),
    ({"name_id": "ada</saml:NameID><saml:NameID>eve"}, "its subject (NameID) is missing"),
    ({"id": ""}, "its signature is not of the form that SAML 2.0 demands"),
]


@pytest.mark.parametrize(("parts", "sentence"), RULES, ids=[f"{n}-{next(iter(p))}" for n, (p, _) in enumerate(RULES)])
async def test_rules(world: SamlWorld, parts: dict[str, object], sentence: str) -> None:
    """Properly signed, and refused for what it says."""
    signed = sign(assertion(**parts), reference="#" if parts.get("id") == "" else None)
    assert (await refused(world, signed)).startswith(sentence)


async def test_the_client_address_fits(world: SamlWorld) -> None:
    """An Address that is the client's own is fine, and so is what ends or begins within the leeway."""
    await world.identify(sign(assertion(confirmation='Address="10.0.0.9"')))
    await world.identify(sign(assertion(begins=stamp(NOW + 30), issued=stamp(NOW + 30), ends=stamp(NOW - 29))))


async def test_one_of_several_confirmations_will_do(world: SamlWorld) -> None:
    """Where the first is over or another recipient's."""
    for recipient, end in ((ACS, NOW - 60), ("https://other", NOW + 60)):
        data = f'<saml:SubjectConfirmationData Recipient="{recipient}" NotOnOrAfter="{stamp(end)}"/>'
        bearer = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
        first = f'<saml:SubjectConfirmation Method="{bearer}">{data}</saml:SubjectConfirmation>'
        await world.identify(sign(assertion().replace("</saml:NameID>", f"</saml:NameID>{first}")))


async def test_without_a_bearer_end(world: SamlWorld) -> None:
    """The bearer confirmation must end."""
    text = assertion().replace(f' NotOnOrAfter="{stamp(NOW + 300)}"', "")
    assert "does not end" in await refused(world, sign(text))


async def test_responses_that_disagree(world: SamlWorld) -> None:
    """A signed Response speaks too."""
    for parts, sentence in (
        ({"issuer": "https://other"}, "another issuer"),
        ({"status": "Requester"}, "success"),
        ({"destination": "https://other"}, "recipient"),
    ):
        assert sentence in await refused(world, sign(response(sign(assertion()), **parts)))


async def test_not_over_tls(world: SamlWorld) -> None:
    """Like every token."""
    with pytest.raises(Refused, match="without TLS"):
        await world.identify(sign(assertion()), encrypted=False)


# ---------------------------------------------------------------- signatures

_WEAK = "its signature method is weak or unknown"
_TRANSFORM = "its signature uses a transform other than enveloped-signature and exclusive canonicalization"
_EXC = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
SIGNATURES = [
    (SignatureMethod.RSA_SHA1, DigestAlgorithm.SHA256, _EXC, _WEAK),
    (SignatureMethod.RSA_SHA224, DigestAlgorithm.SHA256, _EXC, _WEAK),
    (SignatureMethod.RSA_SHA256, DigestAlgorithm.SHA1, _EXC, "its digest is weak or unknown"),
    (SignatureMethod.RSA_SHA256, DigestAlgorithm.SHA224, _EXC, "its digest is weak or unknown"),
    *(
        (SignatureMethod.RSA_SHA256, DigestAlgorithm.SHA256, c14n, _TRANSFORM)
        for c14n in CanonicalizationMethod
        if c14n is not _EXC
    ),
]


@pytest.mark.parametrize(("method", "digest", "c14n", "sentence"), SIGNATURES)
async def test_algorithms(
    world: SamlWorld, method: SignatureMethod, digest: DigestAlgorithm, c14n: CanonicalizationMethod, sentence: str
) -> None:
    """SHA-256 or better, exclusive canonicalization without comments."""
    assert await refused(world, sign(assertion(), method=method, digest=digest, c14n=c14n)) == sentence


@pytest.mark.parametrize(
    "method", [SignatureMethod.RSA_SHA384, SignatureMethod.RSA_SHA512, SignatureMethod.SHA256_RSA_MGF1]
)
async def test_strong_algorithms(world: SamlWorld, method: SignatureMethod) -> None:
    """More than the usual one."""
    await world.identify(sign(assertion(), method=method, digest=DigestAlgorithm.SHA512))


async def test_another_key_or_none(world: SamlWorld) -> None:
    """Unsigned; signed by another key, whose certificate lies in KeyInfo; changed after it was signed."""
    assert await refused(world, assertion()) == "it is not signed"
    assert await refused(world, response(assertion())) == "it is not signed"
    wrong = "its signature is not one of the identity provider's"
    assert await refused(world, sign(assertion(), OTHER)) == wrong
    assert await refused(world, etree.tostring(sign(assertion())).replace(b"ada@", b"eve@")) == wrong
    assert await refused(world, etree.tostring(sign(assertion())).replace(b">dev<", b">dba<")) == wrong


async def test_one_good_signature_of_two_is_not_enough(world: SamlWorld) -> None:
    """Where Response and Assertion are signed, both must hold, in whichever the fault is."""
    document = sign(response(sign(assertion()), issuer=ENTITY))
    wrong = "its signature is not one of the identity provider's"
    document.set("InResponseTo", "_x")
    assert await refused(world, document) == wrong
    assert await refused(world, sign(response(sign(assertion(), OTHER)))) == wrong
    assert await refused(world, sign(response(sign(assertion())), OTHER)) == wrong


async def test_references_elsewhere(world: SamlWorld) -> None:
    """To nothing, to the whole, to another element: only the element the signature stands in."""
    elsewhere = "its signature is about another element than the one it stands in"
    signed = etree.tostring(sign(assertion()))
    for uri in (b"", b"#", b"#_other", b"##_a1", b"#xpointer(id('_a1'))", b"https://x/"):
        assert await refused(world, signed.replace(b'URI="#_a1"', b'URI="' + uri + b'"')) == elsewhere


async def test_an_id_that_looks_like_a_reference(world: SamlWorld) -> None:
    """What the verifier resolved the reference to is compared once more with what is read."""
    forged = assertion(id="#_l", more='<saml:Advice ID="_l"/>')
    assert await refused(world, sign(forged, reference="##_l")) == "its signature is not one of the identity provider's"


async def test_signatures_of_another_form(world: SamlWorld) -> None:
    """Objects, a second reference, a second signature, a signature that is not where it belongs."""
    form = "its signature is not of the form that SAML 2.0 demands"
    for place, child in (
        (f"{DS}Signature", "Object"),
        (f"{DS}Signature/{DS}SignedInfo", "Reference"),
        (f"{DS}Signature/{DS}SignedInfo/{DS}SignatureMethod", "HMACOutputLength"),
    ):
        signed = sign(assertion())
        found = signed.find(place)
        assert found is not None
        etree.SubElement(found, f"{DS}{child}")
        assert await refused(world, signed) == form
    signed = sign(assertion())
    signature = signed.find(f"{DS}Signature")
    assert signature is not None
    signed.append(deepcopy(signature))
    assert await refused(world, signed) == "it has a signature where none belongs"
    signed = sign(assertion())
    transforms = signed.find(f"{DS}Signature/{DS}SignedInfo/{DS}Reference/{DS}Transforms")
    assert transforms is not None
    xslt = etree.SubElement(transforms, f"{DS}Transform", Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116")
    assert await refused(world, signed) == _TRANSFORM
    transforms.remove(xslt)
    transforms.append(transforms[0])
    assert await refused(world, signed) == _TRANSFORM


async def test_damage(world: SamlWorld) -> None:
    """Every text, attribute and part of a signature taken away or changed: a refusal and nothing else."""
    signed = etree.tostring(sign(response(sign(assertion()))))
    changes = (
        (rb">[^<]+<", (b"><", b">x<")),
        (rb' \w+="[^"]*"', (b"",)),
        (rb"<ds:\w+[^>]*/>", (b"",)),
        (rb"<ds:(\w+)[ >].*?</ds:\1>", (b"",)),
    )
    for pattern, instead in changes:
        for found in re.finditer(pattern, signed, re.DOTALL):
            # The outer KeyInfo is signed by nobody, and read by nobody.
            if b"KeyInfo" in found[0] or signed[: found.start()].endswith(b"X509Certificate"):
                continue
            for change in instead:
                await refused(world, signed[: found.start()] + change + signed[found.end() :])


# ---------------------------------------------------------------- signature wrapping


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.__name__)
async def test_signature_wrapping(world: SamlWorld, attack) -> None:  # type: ignore[no-untyped-def]
    """The eight shapes of "On Breaking SAML" (2012). In each the signature by itself is good, and eve is there."""
    document = attack()
    naive = SignatureConfiguration(location=".//", verification_time=KEYS.certificate().not_valid_before_utc)
    XMLVerifier().verify(
        etree.tostring(document), x509_cert=KEYS.certificate(), expect_config=naive, validate_schema=False
    )
    assert b"eve" in etree.tostring(document)
    assert await refused(world, document) == "it holds more than one assertion"


@pytest.mark.parametrize("attack", [xsw1, xsw4, xsw6, xsw8], ids=lambda each: each.__name__)
async def test_wrapping_under_another_name(world: SamlWorld, attack) -> None:  # type: ignore[no-untyped-def]
    """The count of assertions is not the only thing in the way: what was signed is hidden under other names."""
    document = attack()
    hidden = next(each for each in document.iter(f"{SAML}Assertion") if each.get("ID") == "_a1")
    hidden.tag = f"{SAML}Advice"
    assert await refused(world, document)


async def test_ids_that_occur_twice(world: SamlWorld) -> None:
    """Also under another spelling of the attribute."""
    for attribute in ("ID", "Id", "id", "{http://www.w3.org/XML/1998/namespace}id", "AssertionID"):
        document = response(sign(assertion()))
        etree.SubElement(document, "x", {attribute: "_a1"})
        assert await refused(world, document) == "two of its elements have the same id"


# ---------------------------------------------------------------- documents

_COMMENT = "it holds a comment, which readers of XML do not treat alike"
_DTD = "it holds a DTD, a CDATA section or a processing instruction, which no assertion needs"


async def test_comments(world: SamlWorld) -> None:
    """CVE-2018-0489 and its kin: canonicalization drops a comment, some readers stop at it."""
    signed = etree.tostring(sign(assertion(name_id="ada@example.test.eve.example")))
    await world.identify(signed)
    for change in (b"ada@example.test<!---->.eve", b"ada@example.test<!-- x -->.eve"):
        assert await refused(world, signed.replace(b"ada@example.test.eve", change)) == _COMMENT
    assert await refused(world, signed.replace(b">dev<", b">de<!---->v<")) == _COMMENT
    assert await refused(world, signed.replace(b"ada@example.test.eve", b"ada@example.test<?x?>.eve")) == _DTD
    assert await refused(world, signed.replace(b"ada@example.test.eve", b"ada@example.test<?xml a?>.eve")) == _DTD
    assert await refused(world, signed.replace(b">dev<", b"><![CDATA[dev]]><")) == _DTD


@pytest.mark.parametrize(
    "dtd",
    [
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x [<!ENTITY % e SYSTEM "http://127.0.0.1:1/e.dtd"> %e;]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">',
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY e "&b;&b;&b;&b;&b;&b;">]>',
        "<!DOCTYPE x [<!ATTLIST saml:Assertion ID ID #IMPLIED>]>",
    ],
    ids=["xxe", "parameter-entity", "external", "laughs", "attlist"],
)
async def test_dtds(world: SamlWorld, dtd: str) -> None:
    """XXE, billion laughs, attributes by default: no DTD is ever parsed, in whatever encoding it comes."""
    body = etree.tostring(sign(assertion())).decode().replace(">dev<", ">&e;<")
    assert await refused(world, dtd + body) == _DTD
    assert await refused(world, '<?xml version="1.0"?>' + dtd + body) == _DTD
    assert await refused(world, body) == "it is not well-formed XML"
    for encoding in ("utf-16", "utf-16-le", "utf-7"):
        assert await refused(world, (f'<?xml version="1.0" encoding="{encoding}"?>' + dtd + body).encode(encoding))


async def test_bounds(world: SamlWorld) -> None:
    """Length, tags, depth and what a stream inflates to, all before anything is parsed."""
    long = "it is longer than 64 KiB"
    assert await turned_away(world, b"A" * 65537) == long
    assert await turned_away(world, password(b"<x>" + b" " * 10_000_000 + b"</x>", deflate=True)) == long
    assert await refused(world, "<x>" * 25 + "</x>" * 25) == "its elements are nested more than 24 deep"
    assert await refused(world, "<x a='/>'>" * 25 + "</x>" * 25) == "its elements are nested more than 24 deep"
    assert await refused(world, "<x a='>'>" * 25 + "</x>" * 25) == "its elements are nested more than 24 deep"
    assert await refused(world, "<x>" + "<y/>" * 4096 + "</x>") == "it has more than 4096 tags"


async def test_not_assertions(world: SamlWorld) -> None:
    """Other things that may stand in a password."""
    neither = "it is neither a JWT nor a SAML assertion in base64"
    for raw in (b"secret", b"x", b"%%%%", b64encode(b"hello"), urlsafe_b64encode(bytes(range(256)))):
        assert await turned_away(world, raw) == neither
    whole = b64decode(password(sign(assertion()), deflate=True))
    for stream in (whole[:-8], whole + b"x"):
        assert await turned_away(world, b64encode(stream)) == neither
    assert await refused(world, b"<\xff/>") == "its XML is not UTF-8"
    assert await refused(world, "<x>") == "it is not well-formed XML"
    assert await refused(world, "<x\0/>") == "it is not well-formed XML"
    assert (await refused(world, "<x/>")).startswith("its issuer")


async def test_assertions_that_are_not_one(world: SamlWorld) -> None:
    """Two, an encrypted one, one of SAML 1.1, one in a wrong place."""
    two = response(sign(assertion()), sign(assertion(id="_a2")))
    assert await refused(world, two) == "it holds more than one assertion"
    issuer = f"<saml:Issuer xmlns:saml='{NS['saml']}'>{ENTITY}</saml:Issuer>"
    encrypted = response(
        etree.fromstring(f"<saml:EncryptedAssertion xmlns:saml='{NS['saml']}'>{issuer}</saml:EncryptedAssertion>")
    )
    assert await refused(world, encrypted) == "its assertion is encrypted, which this gateway does not take"
    wrapped = f"<x xmlns:saml='{NS['saml']}'>{etree.tostring(sign(assertion())).decode()}</x>"
    assert await refused(world, wrapped) == "it is neither a SAML 2.0 Assertion nor a Response with one"
    old = assertion().replace(NS["saml"], "urn:oasis:names:tc:SAML:1.0:assertion")
    assert await refused(world, sign(old)) == "its issuer is not one of those configured here"


# ---------------------------------------------------------------- configuration


async def test_metadata_ends(tmp_path: Path) -> None:
    """`validUntil` and the certificates' own ends count; encryption certificates do not."""
    world = SamlWorld(tmp_path, metadata(KEYS.certificate(), extra=f'validUntil="{stamp(NOW + 10)}"'))
    await world.identify(sign(assertion()))
    world.now += 10
    assert await refused(world, sign(assertion())) == 'the metadata of issuer "corp" is out of date'
    world = SamlWorld(tmp_path, metadata(KEYS.certificate(end=NOW - 1)))
    assert "no certificate that is valid now" in await refused(world, sign(assertion()))
    with pytest.raises(ValueError, match="no signing certificate"):
        SamlWorld(tmp_path, metadata(KEYS.certificate(), use='use="encryption"'))


async def test_several_certificates(tmp_path: Path) -> None:
    """While a provider changes its key, both count."""
    part = metadata(KEYS.certificate(), use="").partition("<md:IDPSSODescriptor>")[2].partition("</md:IDPSSO")[0]
    world = SamlWorld(tmp_path, metadata(OTHER.certificate()).replace("</md:IDPSSO", f"{part}</md:IDPSSO"))
    for keys in (KEYS, OTHER):
        await world.identify(sign(assertion(), keys))


def test_metadata_that_will_not_do(tmp_path: Path) -> None:
    """Each with a sentence that names the file."""
    good = metadata(KEYS.certificate())
    for text, sentence in (
        ("", "is not XML"),
        ("<!DOCTYPE x>" + good, "holds a DTD"),
        (good.replace(ENTITY, "https://other"), "does not hold exactly one EntityDescriptor"),
        (f"<x>{good}{good}</x>", "does not hold exactly one EntityDescriptor"),
        (good.replace("IDPSSO", "SPSSO"), "no signing certificate"),
        (good.replace("MII", "MIX"), "a certificate that can't be read"),
        (" " * 1048577, "larger than 1 MiB"),
        (good.replace("entityID", 'validUntil="soon" entityID'), "a time is not written"),
    ):
        with pytest.raises(ValueError, match=sentence):
            SamlWorld(tmp_path, text)
    with pytest.raises(OSError, match="nowhere"):
        SamlWorld(tmp_path, metadata=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"name": "a b"}, "issuer name"),
        ({"entity_id": " "}, 'issuer "corp": entity_id: '),
        ({"audiences": ()}, "audiences: name at least one"),
        ({"audiences": "ostiary"}, "audiences: must be a tuple"),
        ({"recipients": ("",)}, "recipients: name at least one"),
        ({"bind": {"a": ()}}, "bind: a: must be text"),
        ({"groups": ("{a}", "{b}")}, "two templates begin with the same text"),
        ({"leeway": 301.0}, "leeway: must be from 0 to 300 seconds"),
    ],
)
def test_settings_that_will_not_do(tmp_path: Path, settings: dict[str, object], sentence: str) -> None:
    """Said when the issuer is made."""
    with pytest.raises(ValueError, match=sentence):
        SamlWorld(tmp_path, None, **settings)


def test_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway without the extra says what to install."""
    monkeypatch.setattr("ostiary.identity.saml.issuer.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'needs the package signxml: pip install "ostiary\[saml\]"'):
        SamlWorld(tmp_path)
