"""A SAML identity provider that signs anything, and the gateway's identity that trusts it."""

import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner

from ostiary.core import Principal, Proof, Secret
from ostiary.identity import Identities, SamlIssuer
from tests.identity.fakes import NOW, Web

ENTITY = "https://idp.example/metadata"
ACS = "https://gateway.example/saml"
NS = {
    "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
    "samlp": "urn:oasis:names:tc:SAML:2.0:protocol",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
}
Element = etree._Element
#: "remove this part", where None would mean "as usual".
GONE = ""


def stamp(seconds: float) -> str:
    """Unix seconds as SAML writes them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Keys:
    """A key and its self-signed certificate, valid around NOW."""

    private: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def certificate(self, end: float = NOW + 86400, moment: float = NOW) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp")])
        begin = datetime.fromtimestamp(moment, UTC) - timedelta(days=9)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.private.public_key())
        builder = builder.serial_number(7).not_valid_before(begin).not_valid_after(datetime.fromtimestamp(end, UTC))
        return builder.sign(self.private, hashes.SHA256())


KEYS = Keys()
OTHER = Keys()


class Unchecked(XMLSigner):
    """Signs with weak algorithms too."""

    def check_deprecated_methods(self) -> None:
        """Does not."""


def metadata(certificate: x509.Certificate, entity: str = ENTITY, extra: str = "", use: str = 'use="signing"') -> str:
    """What the provider publishes."""
    body = b64encode(certificate.public_bytes(Encoding.DER)).decode()
    return (
        f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{entity}" {extra}>'
        f'<md:IDPSSODescriptor><md:KeyDescriptor {use}><ds:KeyInfo xmlns:ds="{NS["ds"]}"><ds:X509Data>'
        f"<ds:X509Certificate>{body}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor></md:IDPSSODescriptor>"
        "</md:EntityDescriptor>"
    )


def assertion(**parts: object) -> str:
    """A good Assertion, not signed; a part is replaced by what is given for it."""
    use = {
        "id": "_a1",
        "version": "2.0",
        "issued": stamp(NOW),
        "issuer": ENTITY,
        "name_id": "ada@example.test",
        "recipient": ACS,
        "confirmed_until": stamp(NOW + 300),
        "confirmation": "",
        "method": "urn:oasis:names:tc:SAML:2.0:cm:bearer",
        "begins": stamp(NOW - 10),
        "ends": stamp(NOW + 600),
        "audience": "<saml:AudienceRestriction><saml:Audience>ostiary</saml:Audience></saml:AudienceRestriction>",
        "conditions": "",
        "attributes": attributes({"groups": ["dev", "sre"], "email": ["ada@example.test"]}),
        "more": "",
        **parts,
    }
    return (
        '<saml:Assertion xmlns:saml="{saml}" ID="{id}" Version="{version}" IssueInstant="{issued}">'
        "<saml:Issuer>{issuer}</saml:Issuer><saml:Subject><saml:NameID>{name_id}</saml:NameID>"
        '<saml:SubjectConfirmation Method="{method}"><saml:SubjectConfirmationData Recipient="{recipient}"'
        ' NotOnOrAfter="{confirmed_until}" {confirmation}/></saml:SubjectConfirmation></saml:Subject>'
        '<saml:Conditions NotBefore="{begins}" NotOnOrAfter="{ends}">{audience}{conditions}</saml:Conditions>'
        "{more}{attributes}</saml:Assertion>"
    ).format(saml=NS["saml"], **use)


def attributes(values: Mapping[str, list[str]]) -> str:
    """An AttributeStatement."""
    inner = "".join(
        f'<saml:Attribute Name="{name}">'
        + "".join(f"<saml:AttributeValue>{escape(value)}</saml:AttributeValue>" for value in found)
        + "</saml:Attribute>"
        for name, found in values.items()
    )
    return f"<saml:AttributeStatement>{inner}</saml:AttributeStatement>"


def response(*inner: Element | str, **parts: str) -> Element:
    """A Response around assertions."""
    use = {"id": "_r1", "issuer": ENTITY, "status": "Success", "destination": ACS, "more": "", **parts}
    root = etree.fromstring(
        (
            '<samlp:Response xmlns:samlp="{samlp}" xmlns:saml="{saml}" ID="{id}" Version="2.0"'
            ' Destination="{destination}" {more}><saml:Issuer>{issuer}</saml:Issuer><samlp:Status>'
            '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:{status}"/></samlp:Status></samlp:Response>'
        )
        .format(samlp=NS["samlp"], saml=NS["saml"], **use)
        .encode()
    )
    for each in inner:
        root.append(etree.fromstring(each) if isinstance(each, str) else each)
    return root


def sign(
    element: Element | str,
    keys: Keys = KEYS,
    method: SignatureMethod = SignatureMethod.RSA_SHA256,
    digest: DigestAlgorithm = DigestAlgorithm.SHA256,
    c14n: CanonicalizationMethod = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    reference: str | None = None,
) -> Element:
    """An enveloped signature behind the Issuer."""
    root = etree.fromstring(element) if isinstance(element, str) else element
    place = etree.Element(f"{{{NS['ds']}}}Signature", Id="placeholder", nsmap={"ds": NS["ds"]})
    root.insert(1, place)
    signer = Unchecked(signature_algorithm=method, digest_algorithm=digest, c14n_algorithm=c14n)
    return signer.sign(
        root, key=keys.private, cert=[keys.certificate()], reference_uri=reference or f"#{root.get('ID')}"
    )


def password(document: Element | str | bytes, *, deflate: bool = False) -> bytes:
    """As a client sends it."""
    if isinstance(document, Element):
        document = etree.tostring(document)
    data = document.encode() if isinstance(document, str) else document
    if deflate:
        packer = zlib.compressobj(9, wbits=-15)
        data = packer.compress(data) + packer.flush()
    return b64encode(data)


class SamlWorld:
    """One provider, its metadata in a file, a clock."""

    def __init__(self, tmp_path: Path, text: str | None = None, **settings: object) -> None:
        self.now = NOW
        file = tmp_path / "idp.xml"
        file.write_text(metadata(KEYS.certificate()) if text is None else text)
        good: dict[str, object] = {
            "name": "corp",
            "entity_id": ENTITY,
            "metadata": file,
            "audiences": ("ostiary",),
            "recipients": (ACS,),
            "groups": ("{groups}",),
            **settings,
        }
        self.issuer = SamlIssuer(**good)  # type: ignore[arg-type]
        clock: Callable[[], float] = lambda: self.now  # noqa: E731
        self.identity = Identities([self.issuer], Web(), clock)

    async def identify(self, document: Element | str | bytes, *, encrypted: bool = True) -> Principal:
        """What the gate would do with a document."""
        return await self.present(password(document), encrypted=encrypted)

    async def present(self, raw: bytes, *, encrypted: bool = True) -> Principal:
        """What the gate would do with a password."""
        return await self.identity.identify(Proof(Secret(raw), "orders", "10.0.0.9:4000", encrypted, loopback=False))
