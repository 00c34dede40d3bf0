"""An authority that signs any certificate, good or not."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_OIDS = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME, "OU": NameOID.ORGANIZATIONAL_UNIT_NAME}
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


def uri(value: str) -> x509.GeneralName:
    """A URI of subjectAltName."""
    return x509.UniformResourceIdentifier(value)


def usage(*, sign: bool = True, certificates: bool = False, revocations: bool = False) -> x509.KeyUsage:
    """The key usage with these bits."""
    return x509.KeyUsage(sign, False, False, False, False, certificates, revocations, False, False)


@dataclass
class Holder:
    """A certificate, its key, and what stands between it and the root."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    between: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.DER)

    def write(self, home: Path, name: str) -> tuple[Path, Path]:
        """PEM files as libpq wants them: the certificate with what is between, and the key."""
        files = home / f"{name}.crt", home / f"{name}.key"
        files[0].write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in (self.certificate, *self.between)))
        files[1].touch(mode=0o600)
        files[1].write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files


@dataclass
class Authority:
    """A root, or one below another."""

    name: str
    above: "Authority | None" = None
    path_length: int | None = None
    constraints: x509.NameConstraints | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        more: list[x509.ExtensionType] = [x509.BasicConstraints(ca=True, path_length=self.path_length)]
        more += [usage(certificates=True, revocations=True)]
        more += [self.constraints] if self.constraints is not None else []
        self.certificate = (self.above or self)._sign({"CN": [self.name]}, self.key, more, timedelta(days=9))

    def issue(
        self,
        names: dict[str, list[str]] | None = None,
        san: tuple[x509.GeneralName, ...] = (),
        *more: x509.ExtensionType,
        extended: tuple[x509.ObjectIdentifier, ...] = (CLIENT,),
        valid: timedelta = timedelta(hours=1),
    ) -> Holder:
        """A leaf, which may do what a client does unless told otherwise."""
        key = ec.generate_private_key(ec.SECP256R1())
        extensions: list[x509.ExtensionType] = list(more)
        extensions += [x509.SubjectAlternativeName(san)] if san else []
        extensions += [x509.ExtendedKeyUsage(extended)] if extended else []
        certificate = self._sign({"CN": ["job"]} if names is None else names, key, extensions, valid)
        return Holder(certificate, key, tuple(self._between()))

    def chain(self, holder: Holder) -> tuple[bytes, ...]:
        """As TLS verified it, in DER."""
        authority = self
        while authority.above is not None:
            authority = authority.above
        every = (holder.certificate, *holder.between, authority.certificate)
        return tuple(each.public_bytes(Encoding.DER) for each in every)

    def revoking(
        self,
        *revoked: x509.Certificate,
        lists: tuple[x509.Extension[x509.ExtensionType], ...] = (),
        entries: tuple[x509.Extension[x509.ExtensionType], ...] = (),
        begins: timedelta = timedelta(days=-1),
        ends: timedelta = timedelta(days=1),
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> bytes:
        """A revocation list in PEM."""
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        builder = x509.CertificateRevocationListBuilder().issuer_name(own)
        builder = builder.last_update(self.now + begins).next_update(self.now + ends)
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.serial_number).revocation_date(self.now)
            for extension in entries:
                entry = entry.add_extension(extension.value, extension.critical)
            builder = builder.add_revoked_certificate(entry.build())
        for extension in lists:
            builder = builder.add_extension(extension.value, extension.critical)
        return builder.sign(key or self.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def write(self, path: Path) -> Path:
        """Its certificate as a PEM file."""
        path.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        return path

    def _between(self) -> list[x509.Certificate]:
        return [] if self.above is None else [self.certificate, *self.above._between()]

    def _sign(
        self,
        names: dict[str, list[str]],
        key: ec.EllipticCurvePrivateKey,
        extensions: list[x509.ExtensionType],
        valid: timedelta,
    ) -> x509.Certificate:
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        subject = x509.Name([x509.NameAttribute(_OIDS[kind], each) for kind, found in names.items() for each in found])
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(own).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(self.now - timedelta(days=1)).not_valid_after(self.now + valid)
        for extension in extensions:
            critical = not isinstance(extension, x509.SubjectAlternativeName | x509.ExtendedKeyUsage)
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())
