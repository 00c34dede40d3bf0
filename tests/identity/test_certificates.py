"""Client certificates that TLS has verified: whose they are and what they say."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ostiary.core import Principal, Proof, Secret
from ostiary.gate.ports import Refused
from ostiary.identity import AnyIssuer, Identities, OidcIssuer, X509Issuer
from tests.identity.certificate_kit import Authority, uri, usage
from tests.identity.fakes import NOW, URL, Web

MOMENT = datetime.fromtimestamp(NOW, UTC)
ID = "spiffe://acme.example/ns/shop/job"
SVID = usage()


class World:
    """Authorities, issuers and a clock."""

    def __init__(self, home: Path) -> None:
        self.now = NOW
        self.home = home
        self.root = Authority("root", now=MOMENT)
        self.bundle = self.root.write(home / "root.pem")
        self.use()

    def use(self, **settings: object) -> None:
        """One issuer."""
        good: dict[str, object] = {"name": "pki", "ca": self.bundle, **settings}
        self.identity = Identities([X509Issuer(**good)], Web(), lambda: self.now)  # type: ignore[arg-type]

    async def identify(self, chain: tuple[bytes, ...]) -> Principal:
        """What the gate would do."""
        return await self.identity.identify(Proof(Secret(""), "orders", "10.0.0.9:1", True, False, chain))

    async def refused(self, chain: tuple[bytes, ...]) -> str:
        """The sentence."""
        with pytest.raises(Refused) as caught:
            await self.identify(chain)
        return caught.value.refusal.message


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One root, which one issuer trusts."""
    return World(tmp_path)


async def test_a_certificate_becomes_a_principal(world: World) -> None:
    """Common name, groups of names, the certificate's own end, a fingerprint for the record."""
    world.use(groups=("org/{O}", "team/{OU}", "mail/{email}"), bind={"O": "acme"})
    names = {"CN": ["job"], "O": ["acme"], "OU": ["shop", "web"]}
    holder = world.root.issue(names, (x509.RFC822Name("a@acme.example"),))
    principal = await world.identify(world.root.chain(holder))
    assert principal.id == "pki:job"
    assert principal.groups == {"org/acme", "team/shop", "team/web", "mail/a@acme.example"}
    assert (principal.expires_at, principal.session_until) == (NOW + 3600, NOW + 3660)
    assert principal.proof_id.startswith("sha256:")
    assert len(principal.proof_id) == 39
    assert principal.claims == {"serial": f"{holder.certificate.serial_number:x}"}


@pytest.mark.parametrize("subject", ["dns", "uri", "email"])
async def test_other_names(world: World, subject: str) -> None:
    """The subject may be one alternative name; two of the kind, or none, are refused."""
    world.use(subject=subject)
    kinds: dict[str, Callable[[str], x509.GeneralName]] = {
        "dns": x509.DNSName,
        "uri": x509.UniformResourceIdentifier,
        "email": x509.RFC822Name,
    }
    one, two = kinds[subject]("a.example"), kinds[subject]("b.example")
    assert (await world.identify(world.root.chain(world.root.issue({}, (one,))))).subject == "a.example"
    for san in ((), (one, two)):
        sentence = await world.refused(world.root.chain(world.root.issue(None, san)))
        assert sentence.startswith(f"certificate refused: it does not have one {subject} that is plain text")


@pytest.mark.parametrize("name", [[], ["job", "admin"], [" job"], ["job\u202e"]])
async def test_common_names_that_will_not_do(world: World, name: list[str]) -> None:
    """None, two, or one that does not look like what it is."""
    assert "one CN" in await world.refused(world.root.chain(world.root.issue({"CN": name, "O": ["x"]})))


@pytest.mark.parametrize("organization", [["acme2"], ["acm"], ["Acme"], ["acme", "x"], []])
async def test_bindings_are_exact(world: World, organization: list[str]) -> None:
    """Never a beginning, never one of several."""
    world.use(bind={"O": "acme"})
    chain = world.root.chain(world.root.issue({"CN": ["job"], "O": organization}))
    assert 'its claim "O" does not have a value' in await world.refused(chain)


async def test_an_svid(world: World) -> None:
    """An X.509-SVID of a workload in the trust domain; the SPIFFE ID is the subject."""
    world.use(trust_domain="acme.example")
    holder = world.root.issue({}, (uri(ID), x509.DNSName("x")), SVID)
    assert (await world.identify(world.root.chain(holder))).id == f"pki:{ID}"


@pytest.mark.parametrize(
    "names",
    [
        (),
        (uri(ID), uri("spiffe://acme.example/other")),
        (uri("spiffe://acme.example"),),
        (uri("spiffe://acme.example/"),),
        (uri("spiffe://acme.example.eve.example/ns"),),
        (uri("spiffe://acme.exampl/ns"),),
        (uri("spiffe://eve@acme.example/ns"),),
        (uri("spiffe://acme.example/a/../b"),),
        (uri("spiffe://ACME.example/ns"),),
        (uri("https://acme.example/ns"),),
        (x509.DNSName(ID.removeprefix("spiffe://")),),
    ],
)
async def test_no_svid(world: World, names: tuple[x509.GeneralName, ...]) -> None:
    """Another trust domain, look-alikes, several URIs, the trust domain itself."""
    world.use(trust_domain="acme.example")
    assert "it is no X.509-SVID of a workload" in await world.refused(
        world.root.chain(world.root.issue({"CN": [ID[:60]]}, names, SVID))
    )


async def test_usage_of_an_svid(world: World) -> None:
    """It signs, and no certificates or revocations."""
    world.use(trust_domain="acme.example")
    for more in ((), (usage(sign=False),), (usage(certificates=True),), (usage(revocations=True),)):
        sentence = await world.refused(world.root.chain(world.root.issue({}, (uri(ID),), *more)))
        assert "it is no X.509-SVID" in sentence


async def test_times_by_the_gateway_s_clock(world: World) -> None:
    """Exactly as the certificate says."""
    chain = world.root.chain(world.root.issue())
    for now, good in ((NOW - 86401, False), (NOW - 86400, True), (NOW + 3600, True), (NOW + 3601, False)):
        world.now = now
        if good:
            await world.identify(chain)
        else:
            assert await world.refused(chain) == "certificate refused: it has expired, or is not valid yet"


async def test_roots_are_told_apart(world: World, tmp_path: Path) -> None:
    """The root of the verified chain says which issuer it is; a root of nobody's is refused."""
    other = Authority("root", now=MOMENT)
    below = Authority("below", world.root, now=MOMENT)
    issuers: list[AnyIssuer] = [
        X509Issuer("one", world.bundle),
        X509Issuer("two", other.write(tmp_path / "two.pem")),
        OidcIssuer("ci", URL, ("x",)),
    ]
    world.identity = Identities(issuers, Web(), lambda: NOW)
    assert (await world.identify(world.root.chain(world.root.issue()))).id == "one:job"
    assert (await world.identify(below.chain(below.issue()))).id == "one:job"
    assert (await world.identify(other.chain(other.issue()))).id == "two:job"
    stranger = Authority("root", now=MOMENT)
    assert "its authority is not one of those" in await world.refused(stranger.chain(stranger.issue()))
    assert "can't be read" in await world.refused((b"x", b"y"))


async def test_an_authority_is_no_client(world: World) -> None:
    """Neither the root itself nor one below it."""
    root = world.root.chain(world.root.issue())[-1]
    assert "it is an authority's own" in await world.refused((root,))


async def test_one_root_of_two_trust_domains(world: World) -> None:
    """Fine when both have one; else the root would speak for two."""
    a = X509Issuer("a", world.bundle, "acme.example")
    b = X509Issuer("b", world.bundle, "edge.example")
    world.identity = Identities([a, b], Web(), lambda: NOW)
    for trust_domain, name in (("acme.example", "a"), ("edge.example", "b")):
        holder = world.root.issue({}, (uri(f"spiffe://{trust_domain}/x"),), SVID)
        assert (await world.identify(world.root.chain(holder))).issuer == name
    for others in ([a, X509Issuer("c", world.bundle)], [X509Issuer("c", world.bundle), X509Issuer("d", world.bundle)]):
        with pytest.raises(ValueError, match="trusts the same authority"):
            Identities(others, Web(), lambda: NOW)


def test_bundles_that_will_not_do(world: World, tmp_path: Path) -> None:
    """Each with a sentence that names the file."""
    below = Authority("below", world.root, now=MOMENT).write(tmp_path / "below.pem")
    own = Authority("own", now=MOMENT)
    leaf, _ = own.issue({"CN": ["own"]}).write(tmp_path, "leaf")
    (tmp_path / "none.pem").write_text("none")
    for path, sentence in (
        (below, "not a root authority's"),
        (leaf, "not a root authority's"),
        (tmp_path / "none.pem", "not a PEM file"),
    ):
        with pytest.raises(ValueError, match=sentence):
            world.use(ca=path)
    with pytest.raises(OSError, match="nowhere"):
        world.use(ca=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"name": ""}, "issuer name"),
        ({"trust_domain": "spiffe://a"}, 'issuer "pki": trust_domain: '),
        ({"subject": "serial"}, "subject: choose from common-name"),
        ({"bind": {"O": 1.5}}, "bind: O: must be text"),
        ({"groups": "x"}, "groups: must be a tuple"),
        ({"groups": ("x",)}, "names no claim"),
        ({"max_session": 0.0}, "max_session: must be from 1"),
    ],
)
def test_settings_that_will_not_do(world: World, settings: dict[str, object], sentence: str) -> None:
    """Said when the issuer is made."""
    with pytest.raises(ValueError, match=sentence):
        world.use(**settings)


async def test_the_longest_session(world: World) -> None:
    """A certificate of a year opens no session of a year."""
    world.use(max_session=60.0)
    holder = world.root.issue(valid=timedelta(days=365))
    assert (await world.identify(world.root.chain(holder))).session_until == NOW + 60
