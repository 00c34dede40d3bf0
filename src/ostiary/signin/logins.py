"""Issuers that people sign in at, as they are configured. Everything that can be wrong with one is said when made."""

import re
from dataclasses import dataclass, replace
from typing import Final

from ostiary.core import PrincipalKind
from ostiary.credentials import SecretSource
from ostiary.identity import OidcIssuer, SamlIssuer

_SCOPE: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcLogin:
    """An OpenID provider, and the client that this gateway is there.

    Raises:
        ValueError: A sentence that begins with the setting.
    """

    #: Its audience is the client's id alone: machines' tokens are made for another.
    issuer: OidcIssuer
    #: Of this gateway (RFC 8414), without a slash at its end.
    gateway: str
    title: str
    client_id: str
    #: None: a public client.
    client_secret: SecretSource | None = None
    scopes: tuple[str, ...] = ("openid", "email", "profile")

    def __post_init__(self) -> None:
        _check_title(self.title)
        if not self.client_id or not self.client_id.isprintable() or not self.client_id.isascii():
            raise ValueError("client_id: write the id that the provider gave this gateway")
        if self.issuer.kind is not PrincipalKind.HUMAN or self.issuer.audiences != (self.client_id,):
            raise ValueError("client_id: ID tokens are made for it alone")
        object.__setattr__(self, "issuer", replace(self.issuer, aliases=(), authorized_parties=()))
        if "openid" not in self.scopes or not all(_SCOPE.fullmatch(scope) for scope in self.scopes):
            raise ValueError("scopes: openid must be one of them, and none holds a space or a quote")

    @property
    def path(self) -> str:
        """See `Way.path`."""
        return f"/login/oidc/{self.issuer.name}"

    @property
    def callback(self) -> str:
        """`redirect_uri`, of this provider alone."""
        return f"{self.gateway}{self.path}/callback"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlLogin:
    """An identity provider, and the service provider that this gateway is there.

    Raises:
        ValueError: A sentence that begins with the setting.
    """

    issuer: SamlIssuer
    gateway: str
    title: str

    def __post_init__(self) -> None:
        _check_title(self.title)
        # What is sent to this gateway's own address is made for it alone: machines' assertions are not.
        mine = replace(
            self.issuer, kind=PrincipalKind.HUMAN, audiences=(self.entity_id,), recipients=(self.acs,), one_time=False
        )
        object.__setattr__(self, "issuer", mine)

    @property
    def path(self) -> str:
        """See `Way.path`."""
        return f"/login/saml/{self.issuer.name}"

    @property
    def entity_id(self) -> str:
        """Of this gateway at this provider, and where its metadata is."""
        return f"{self.gateway}{self.path}/metadata"

    @property
    def acs(self) -> str:
        """Assertion consumer service, HTTP-POST binding."""
        return f"{self.gateway}{self.path}/acs"


Login = OidcLogin | SamlLogin


def _check_title(title: str) -> None:
    if not title.strip() or len(title) > 64 or not title.isprintable():
        raise ValueError("title: write what the button says, 64 characters at most")
