"""Certificate revocation lists (RFC 5280 §5): complete, direct ones, from files.

An issuer that has any must have one of each authority in a client's chain, good now: what can't be told is refused.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

_MAX_BYTES: Final = 4 * 1024 * 1024
_BEGIN: Final = b"-----BEGIN X509 CRL-----"
_INCOMPLETE: Final = (x509.DeltaCRLIndicator, x509.IssuingDistributionPoint, x509.CertificateIssuer)
_KNOWN: Final = (x509.AuthorityKeyIdentifier, x509.CRLNumber, x509.CRLReason, x509.InvalidityDate)
#: What cryptography raises for extensions that it can't read.
_UNREADABLE: Final = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


class Revoked(ValueError):  # noqa: N818 - reads as what happened
    """A certificate counts no more, or it can't be told. The text is a clause about it."""


@dataclass(frozen=True, slots=True, eq=False)
class RevocationList:
    """One list. Nobody has verified its signature yet."""

    parsed: x509.CertificateRevocationList
    until: datetime
    serials: frozenset[int] = field(repr=False)

    def signed_by(self, authority: x509.Certificate) -> bool:
        """Did this authority sign it, and may it? (§6.3.3 f, g)."""
        try:
            usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
        except x509.ExtensionNotFound:
            may = True
        except _UNREADABLE:
            may = False
        else:
            may = usage.crl_sign
        return may and _signed(self, authority)


def read_list(path: Path) -> RevocationList:
    """A file of one list, PEM or DER.

    Raises:
        OSError: It can't be read.
        ValueError: It is none, or not one that this gateway understands whole.
    """
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"crl: {path} is longer than 4 MiB")
    try:
        return _parsed(data)
    except ValueError as error:
        raise ValueError(f"crl: {path}: {error}") from None


def check_chain(chain: Sequence[x509.Certificate], lists: Sequence[RevocationList], now: float) -> None:
    """Leaf first, root last; the root itself is trusted or not. Raises Revoked."""
    moment = datetime.fromtimestamp(now, UTC)
    for certificate, authority in pairwise(chain):
        its = [each for each in lists if each.parsed.issuer == authority.subject and each.signed_by(authority)]
        if not its:
            raise Revoked("there is no revocation list of an authority in its chain")
        if not all(each.parsed.last_update_utc <= moment < each.until for each in its):
            raise Revoked("the revocation list of an authority in its chain is out of date, or not valid yet")
        if any(certificate.serial_number in each.serials for each in its):
            raise Revoked("it was revoked, or an authority in its chain was")


def named(chain: Sequence[x509.Certificate]) -> str:
    """Which certificates these are, but for the root: digest of the authority's name and serial number of each."""
    return " ".join(f"{_digest(each.issuer)}/{each.serial_number:x}" for each in chain[:-1])


def is_revoked(names: str, lists: Sequence[RevocationList]) -> bool:
    """Is any of them in a list of its authority's name? `names` is of `named`; no signature is looked at."""
    wanted = [name.partition("/") for name in names.split()]
    return any(
        digest == _digest(each.parsed.issuer) and int(serial, 16) in each.serials
        for each in lists
        for digest, _, serial in wanted
    )


def _digest(issuer: x509.Name) -> str:
    return hashlib.sha256(issuer.public_bytes()).hexdigest()[:16]


@lru_cache(maxsize=256)
def _signed(found: RevocationList, authority: x509.Certificate) -> bool:
    # A list can be long; it is hashed once.
    try:
        return found.parsed.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False


@lru_cache(maxsize=32)
def _parsed(data: bytes) -> RevocationList:
    """Checked in a thread before it is adopted, so the loop has it at once. Raises ValueError."""
    if data.count(_BEGIN) > 1:
        raise ValueError("it holds several lists: write each into a file of its own")
    load = x509.load_pem_x509_crl if _BEGIN in data else x509.load_der_x509_crl
    try:
        found = load(data)
        until = found.next_update_utc
        extensions = [*found.extensions]
        entries = [(each.serial_number, [*each.extensions]) for each in found]
    except _UNREADABLE:
        raise ValueError("it is not a certificate revocation list in PEM or DER") from None
    if until is None:
        raise ValueError("it does not say when the next one comes (nextUpdate)")
    inside = [each for _, more in entries for each in more]
    # §5.2.4, §5.2.5, §5.3.3: such a list is not all there is, or is of several authorities.
    if any(isinstance(each.value, _INCOMPLETE) for each in (*extensions, *inside)):
        raise ValueError("it is a delta, an indirect or a partial list: use a complete one")
    if any(each.critical and not isinstance(each.value, _KNOWN) for each in (*extensions, *inside)):
        raise ValueError("it has a critical extension that this gateway does not know")
    return RevocationList(found, until, frozenset(serial for serial, _ in entries))
