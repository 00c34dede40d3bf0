"""What TLS verifies of a client's certificate before anybody asks whose it is, in memory."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ostiary.runtime.local_tls import server_context
from ostiary.runtime.tls import TlsPump
from tests.identity.certificate_kit import SERVER, Authority, Holder


class Home:
    """A listener that trusts one root."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = Authority("root")
        self.context = server_context(None, None, path, client_roots=[self.root.write(path / "root.pem")])

    def client(self, holder: Holder | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        """A client with this certificate."""
        context = ssl.create_default_context(cafile=self.path / "gateway.crt")
        context.maximum_version = version
        if holder is not None:
            context.load_cert_chain(*holder.write(self.path, "client"))
        return context

    def meet(self, client: ssl.SSLContext, session: ssl.SSLSession | None = None) -> tuple[TlsPump, TlsPump]:
        """The handshake, from both ends. Raises ssl.SSLError of the server."""
        ours = TlsPump(self.context, server_side=True)
        theirs = TlsPump(client, server_side=False, server_hostname="localhost")
        if session is not None:
            theirs._tls.session = session
        theirs.start()
        while not (ours.established and theirs.established):
            ours.receive(theirs.take())
            theirs.receive(ours.take())
        return ours, theirs


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """One listener."""
    return Home(tmp_path)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_verified_chain(home: Home, version: ssl.TLSVersion) -> None:
    """Leaf, what is between, root; and nothing from a client without a certificate."""
    holder = home.root.issue()
    assert home.meet(home.client(holder, version))[0].client_certificates() == home.root.chain(holder)
    below = Authority("below", home.root)
    holder = below.issue()
    assert home.meet(home.client(holder, version))[0].client_certificates() == below.chain(holder)
    assert len(below.chain(holder)) == 3
    assert home.meet(home.client(None, version))[0].client_certificates() == ()


def _short(root: Authority) -> Holder:
    return Authority("below", Authority("short", root, path_length=0)).issue()


def _constrained(root: Authority) -> Holder:
    permitted = x509.NameConstraints([x509.DNSName("acme.example")], None)
    return Authority("below", root, constraints=permitted).issue(None, (x509.DNSName("eve.example"),))


def _leaf_signs(root: Authority) -> Holder:
    below = Authority("below", root)
    below.certificate = root.issue({"CN": ["below"]}).certificate
    return below.issue()


def _later(root: Authority) -> Holder:
    root.now = datetime.now(UTC) + timedelta(days=2)
    return root.issue()


BAD: dict[str, Callable[[Authority], Holder]] = {
    "another authority": lambda root: Authority("other").issue(),
    "another of the same name": lambda root: Authority("root").issue(),
    "expired": lambda root: root.issue(valid=timedelta(minutes=-1)),
    "not yet valid": _later,
    "for servers": lambda root: root.issue(extended=(SERVER,)),
    "signed by a leaf": _leaf_signs,
    "a longer path": _short,
    "another name than its authority may give": _constrained,
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", BAD)
def test_what_does_not_verify(home: Home, name: str, version: ssl.TLSVersion) -> None:
    """The handshake fails, and the client gets an alert that says so."""
    client = home.client(BAD[name](home.root), version)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        home.meet(client)


def test_without_roots_nobody_is_asked(tmp_path: Path) -> None:
    """A listener without such an issuer sees no certificate."""
    home = Home(tmp_path)
    home.context = server_context(None, None, tmp_path)
    assert home.meet(home.client(home.root.issue()))[0].client_certificates() == ()


def test_resumption(home: Home) -> None:
    """A resumed session's certificate was not verified now."""
    client = home.client(home.root.issue(), ssl.TLSVersion.TLSv1_2)
    _, theirs = home.meet(client)
    ours, again = home.meet(client, theirs._tls.session)
    assert again._tls.session_reused
    with pytest.raises(ssl.SSLError, match="can't be resumed"):
        ours.client_certificates()
    theirs = home.meet(home.client(home.root.issue()))[1]
    assert theirs._tls.session is None or not theirs._tls.session.has_ticket
