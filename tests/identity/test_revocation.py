"""Revocation lists: who is in one is refused, and so is everybody of whom it can't be told."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from ostiary.identity import Identities, X509Issuer
from tests.identity.certificate_kit import Authority, usage
from tests.identity.fakes import NOW, Web
from tests.identity.test_certificates import MOMENT, World

_NONE = "certificate refused: there is no revocation list of an authority in its chain"
_DATE = "certificate refused: the revocation list of an authority in its chain is out of date, or not valid yet"
_REVOKED = "certificate refused: it was revoked, or an authority in its chain was"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One root, which one issuer trusts."""
    return World(tmp_path)


def use(world: World, *lists: bytes, **settings: object) -> None:
    """An issuer with these lists."""
    files = tuple(world.home / f"{number}.crl" for number in range(len(lists)))
    for file, data in zip(files, lists, strict=True):
        file.write_bytes(data)
    world.use(crl=files, **settings)


@pytest.mark.parametrize("der", [False, True])
async def test_a_leaf(world: World, der: bool) -> None:
    """The one that is in the list, whatever reason it gives; the other of the same names is let in."""
    good, bad = world.root.issue(), world.root.issue()
    hold: Any = x509.Extension(ExtensionOID.CRL_NUMBER, False, x509.CRLReason(x509.ReasonFlags.certificate_hold))
    data = world.root.revoking(bad.certificate, entries=(hold,))
    use(world, x509.load_pem_x509_crl(data).public_bytes(Encoding.DER) if der else data)
    principal = await world.identify(world.root.chain(good))
    assert principal.claims["chain"].endswith(f"/{good.certificate.serial_number:x}")
    assert await world.refused(world.root.chain(bad)) == _REVOKED


async def test_what_is_between(world: World) -> None:
    """Each authority has a list: that of the root is about the one below it, whose own is about the leaf."""
    below = Authority("below", world.root, now=MOMENT)
    holder = below.issue()
    chain = below.chain(holder)
    use(world, world.root.revoking())
    assert await world.refused(chain) == _NONE
    use(world, below.revoking())
    assert await world.refused(chain) == _NONE
    use(world, world.root.revoking(), below.revoking())
    assert len((await world.identify(chain)).claims["chain"].split()) == 2
    use(world, world.root.revoking(below.certificate), below.revoking())
    assert await world.refused(chain) == _REVOKED
    use(world, world.root.revoking(), below.revoking(holder.certificate))
    assert await world.refused(chain) == _REVOKED
    # The same number of another authority is another certificate.
    use(world, world.root.revoking(holder.certificate), below.revoking(below.certificate))
    await world.identify(chain)


async def test_signatures(world: World) -> None:
    """A list of the right name, signed by another key, or by an authority that may sign none."""
    chain = world.root.chain(world.root.issue())
    use(world, world.root.revoking(key=ec.generate_private_key(ec.SECP256R1())))
    assert await world.refused(chain) == _NONE
    use(world, Authority("other", now=MOMENT).revoking())
    assert await world.refused(chain) == _NONE
    mute = Authority("mute", now=MOMENT)
    mute.certificate = mute._sign(
        {"CN": ["mute"]},
        mute.key,
        [x509.BasicConstraints(ca=True, path_length=None), usage(certificates=True)],
        timedelta(days=9),
    )
    use(world, mute.revoking(), ca=mute.write(world.home / "mute.pem"))
    assert await world.refused(mute.chain(mute.issue())) == _NONE


async def test_times(world: World) -> None:
    """From thisUpdate to before nextUpdate, by the gateway's clock; one list that is out of date is one too many."""
    chain = world.root.chain(world.root.issue(valid=timedelta(days=9)))
    use(world, world.root.revoking(begins=timedelta(seconds=-5), ends=timedelta(seconds=5)))
    for now, good in ((NOW - 6, False), (NOW - 5, True), (NOW + 4, True), (NOW + 5, False)):
        world.now = now
        if good:
            await world.identify(chain)
        else:
            assert await world.refused(chain) == _DATE
    world.now = NOW
    use(world, world.root.revoking(), world.root.revoking(ends=timedelta(0)))
    assert await world.refused(chain) == _DATE


_UNRECOGNIZED = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
_POINT = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
_OTHER = x509.CertificateIssuer([x509.DirectoryName(x509.Name([]))])


def extension(value: x509.ExtensionType, *, critical: bool = True) -> tuple[Any, ...]:
    """One."""
    return (x509.Extension(value.oid, critical, value),)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"lists": extension(_UNRECOGNIZED)}, "a critical extension that this gateway does not know"),
        ({"entries": extension(_UNRECOGNIZED)}, "a critical extension that this gateway does not know"),
        ({"lists": extension(x509.DeltaCRLIndicator(1))}, "a delta, an indirect or a partial list"),
        ({"lists": extension(_POINT)}, "a delta, an indirect or a partial list"),
        ({"entries": extension(_OTHER)}, "a delta, an indirect or a partial list"),
        ({"entries": extension(_OTHER, critical=False)}, "a delta, an indirect or a partial list"),
    ],
)
def test_lists_that_are_not_understood(world: World, more: dict[str, Any], sentence: str) -> None:
    """Said when the configuration is read, with the file."""
    with pytest.raises(ValueError, match=rf"crl: .*0\.crl: it (is|has) {sentence}"):
        use(world, world.root.revoking(world.root.certificate, **more))


async def test_extensions_that_change_nothing(world: World) -> None:
    """Number, key identifier, and what is unknown and not critical."""
    key = x509.AuthorityKeyIdentifier.from_issuer_public_key(world.root.key.public_key())
    more = (
        *extension(x509.CRLNumber(7), critical=False),
        *extension(key, critical=False),
        *extension(_UNRECOGNIZED, critical=False),
    )
    use(world, world.root.revoking(world.root.issue().certificate, lists=more))
    await world.identify(world.root.chain(world.root.issue()))


def test_files_that_will_not_do(world: World) -> None:
    """No list, several in one file, a huge one, none there; one text in place of several."""
    good = world.root.revoking()
    for data, sentence in (
        (b"", "is not a certificate revocation list"),
        (world.bundle.read_bytes(), "is not a certificate revocation list"),
        (good[:200], "is not a certificate revocation list"),
        (good + good, "holds several lists"),
        (b" " * (4 * 1024 * 1024 + 1), "longer than 4 MiB"),
    ):
        with pytest.raises(ValueError, match=sentence):
            use(world, data)
    with pytest.raises(OSError, match="nowhere"):
        world.use(crl=(world.home / "nowhere",))
    with pytest.raises(ValueError, match="crl: must be a tuple"):
        world.use(crl="x")


async def test_who_is_in(world: World) -> None:
    """After a new list: those in it or below one in it, and nobody of another issuer or another authority."""
    below = Authority("below", world.root, now=MOMENT)
    first, second = below.issue(), below.issue()
    use(world, world.root.revoking(), below.revoking())
    one, two = [await world.identify(below.chain(each)) for each in (first, second)]
    assert not world.identity.revoked(one)
    use(world, world.root.revoking(), below.revoking(first.certificate))
    assert (world.identity.revoked(one), world.identity.revoked(two)) == (True, False)
    use(world, world.root.revoking(below.certificate), below.revoking())
    assert world.identity.revoked(two)
    use(world, world.root.revoking(first.certificate), below.revoking())
    assert not world.identity.revoked(one)
    use(world, below.revoking(first.certificate), name="other")
    assert not world.identity.revoked(one)
    identity = Identities([X509Issuer("pki", world.bundle)], Web(), lambda: datetime.now(UTC).timestamp())
    assert not identity.revoked(one)
