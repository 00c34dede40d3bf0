"""Signing in at a SAML 2.0 identity provider: the Web Browser SSO profile (SAML profiles §4.1), begun here.

A signed AuthnRequest goes out by the HTTP-Redirect binding, a Response comes back by HTTP-POST. It is verified by the
rules for every assertion, and must answer that very request: an unsolicited one has nothing to answer.
"""

import asyncio
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr  # writes XML, reads none

from ostiary.core import Principal, Secret
from ostiary.gate.ports import Refused
from ostiary.identity.groups import GroupNames
from ostiary.identity.issuer import check_url
from ostiary.identity.saml.metadata import read_metadata
from ostiary.identity.saml.service import SamlIdentity
from ostiary.signin.logins import SamlLogin
from ostiary.signin.saml_key import ALGORITHM, SamlKey
from ostiary.signin.ways import AGAIN, Pending, Redirect, Spend, check_pending, refused

_PROTOCOL: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
_ASSERTION: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
_METADATA: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
_SIGNATURE: Final = "http://www.w3.org/2000/09/xmldsig#"
_POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"


class SamlWay:
    """One identity provider. Implements `Way`.

    Args:
        login: who is asked, and as which service provider.
        key: of this gateway.
        names: of the groups of all issuers.
        spend: see `Spend`.
        clock: Unix seconds.

    Raises:
        OSError: The provider's metadata can't be read.
        ValueError: It is not what it must be, or names no place to sign in at.
    """

    def __init__(
        self, login: SamlLogin, key: SamlKey, names: GroupNames, spend: Spend, clock: Callable[[], float]
    ) -> None:
        self._login = login
        self._key = key
        self._spend = spend
        self._clock = clock
        self._sign_on = sign_on_url(login)
        self._identity = SamlIdentity([login.issuer], names, clock)

    @property
    def name(self) -> str:
        """See Way."""
        return self._login.issuer.name

    @property
    def title(self) -> str:
        """See Way."""
        return self._login.title

    @property
    def path(self) -> str:
        """See Way."""
        return self._login.path

    def metadata(self) -> bytes:
        """Of this gateway as a service provider (SAML metadata §2.4.4), for the identity provider's operator."""
        login = self._login
        certificate = b64encode(self._key.certificate).decode()
        return (
            f'<md:EntityDescriptor xmlns:md="{_METADATA}" entityID={quoteattr(login.entity_id)}>'
            f'<md:SPSSODescriptor protocolSupportEnumeration="{_PROTOCOL}" AuthnRequestsSigned="true"'
            f' WantAssertionsSigned="true"><md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="{_SIGNATURE}">'
            f"<ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
            f'</md:KeyDescriptor><md:AssertionConsumerService Binding="{_POST}" Location={quoteattr(login.acs)}'
            ' index="0" isDefault="true"/></md:SPSSODescriptor></md:EntityDescriptor>'
        ).encode()

    async def begin(self, pending: Pending) -> Redirect:
        """See Way. The query string is signed as it stands (SAML bindings §3.4.4.1)."""
        packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
        request = packer.compress(self._request(pending)) + packer.flush()
        query = urlencode(
            {"SAMLRequest": b64encode(request).decode(), "RelayState": pending.state, "SigAlg": ALGORITHM}
        )
        signed = await asyncio.to_thread(self._key.sign, query.encode())
        signature = urlencode({"Signature": b64encode(signed).decode()})
        return Redirect(f"{self._sign_on}{'&' if '?' in self._sign_on else '?'}{query}&{signature}")

    def _request(self, pending: Pending) -> bytes:
        """AuthnRequest (SAML core §3.4.1)."""
        now = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            f'<samlp:AuthnRequest xmlns:samlp="{_PROTOCOL}" ID="{pending.request_id}" Version="2.0"'
            f' IssueInstant="{now}" Destination={quoteattr(self._sign_on)} ProtocolBinding="{_POST}"'
            f" AssertionConsumerServiceURL={quoteattr(self._login.acs)}>"
            f'<saml:Issuer xmlns:saml="{_ASSERTION}">{escape(self._login.entity_id)}</saml:Issuer>'
            '<samlp:NameIDPolicy AllowCreate="true"/></samlp:AuthnRequest>'
        ).encode()

    async def finish(self, pending: Pending, params: Mapping[str, str]) -> Principal:
        """See Way. `params`: the form that was posted to the assertion consumer service."""
        await check_pending(pending, self.name, params.get("RelayState"), self._clock(), self._spend)
        response = Secret(params.get("SAMLResponse", ""))
        try:
            # A signature of a long document takes milliseconds, which sessions shall not wait for.
            principal = await asyncio.to_thread(self._identity.answered, response, pending.request_id)
        except Refused as why:
            reason = why.refusal.message.removeprefix("token refused: ")
            raise refused(
                f"the identity provider's response is not good: {reason}",
                f"{AGAIN}; if it stays so, the operators of both must compare their settings",
            ) from None
        until = principal.expires_at + self._login.issuer.leeway
        if not await self._spend(f"saml:{self.name}:{principal.proof_id}", until, self._clock()):
            raise refused("its assertion was used before")
        return principal


def sign_on_url(login: SamlLogin) -> str:
    """Where the provider takes AuthnRequests. Raises OSError, ValueError."""
    issuer = login.issuer
    url = read_metadata(issuer.metadata, issuer.entity_id).sign_on
    if url is None:
        raise ValueError(f"{issuer.metadata} names no SingleSignOnService with the HTTP-Redirect binding")
    check_url(url, "SingleSignOnService", loopback=True)
    if "#" in url:
        raise ValueError(f"{issuer.metadata} names a SingleSignOnService with a fragment")
    return url
