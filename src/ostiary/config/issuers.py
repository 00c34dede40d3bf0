"""`issuers:`, whose tokens are believed. `type` chooses what is known of one beforehand."""

import json
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ostiary.config.proofs import Aws, Certificates, IssuerSection, Saml, SignInSection, told_of_login
from ostiary.config.values import Hidden, Seconds, Texts
from ostiary.core import PrincipalKind
from ostiary.identity import presets
from ostiary.identity.fetch import Access
from ostiary.identity.issuer import DEFAULT_ALGORITHMS, OidcIssuer
from ostiary.identity.presets import Common
from ostiary.signin.logins import OidcLogin


class _Jwt(IssuerSection):
    """What issuers of JWTs have in common."""

    audience: Texts
    groups: Texts | None = None
    leeway: Seconds = 30.0
    session_grace: Seconds = 60.0

    @abstractmethod
    def made(self, base: Path) -> OidcIssuer:
        """As identity takes it. Raises ValueError."""

    def _common(self, **more: object) -> Common:
        given = {
            "kind": PrincipalKind(self.kind),
            "leeway": self.leeway,
            "session_grace": self.session_grace,
            "max_session": self.max_session,
            **more,
        }
        return Common(name=self.name, audiences=self.audience, bind=self.bind, groups=self.groups, more=given)


class _Published(_Jwt):
    """Issuers that publish their keys as OIDC has it, and where else they may be had."""

    jwks_uri: str | None = None
    jwks: dict[str, Any] | None = None
    jwks_file: str | None = None
    ca: str | None = None
    token_file: str | None = None
    algorithms: Texts = DEFAULT_ALGORITHMS

    def _keyed(self, base: Path, **more: object) -> Common:
        given: dict[str, object] = {
            "jwks_uri": self.jwks_uri,
            "jwks": None if self.jwks is None else json.dumps(self.jwks),
            "jwks_file": _path(base, self.jwks_file),
        }
        return self._common(
            access=Access(_path(base, self.ca), _path(base, self.token_file)),
            algorithms=self.algorithms,
            **{setting: value for setting, value in given.items() if value is not None},
            **more,
        )


class ClientSection(SignInSection):
    """`login:` of an OpenID provider: the client that this gateway is there."""

    client_id: str
    client_secret: Hidden | None = None
    scopes: Texts = ("openid", "email", "profile")


class _Provider(_Published):
    """Issuers that people can sign in at, too, or only."""

    audience: Texts = ()
    login: ClientSection | None = None

    @property
    def people_only(self) -> bool:
        """See IssuerSection."""
        return self.login is not None and "audience" not in self.model_fields_set

    @abstractmethod
    def _made(self, base: Path) -> OidcIssuer:
        """Raises ValueError."""

    def made(self, base: Path) -> OidcIssuer:
        """As identity takes it; of one that is for people only, what they sign in with. Raises ValueError."""
        login = self.sign_in(base, "")
        if login is None and "audience" not in self.model_fields_set:
            raise ValueError("audience is missing")
        return login.issuer if login is not None and self.people_only else self._made(base)

    def sign_in(self, base: Path, gateway: str) -> OidcLogin | None:
        """As signin takes it. Raises ValueError."""
        login = self.login
        if login is None:
            return None
        with told_of_login():
            return OidcLogin(
                issuer=self.model_copy(
                    update={
                        "kind": "human",
                        "audience": (login.client_id,),
                        "bind": self.bind if login.bind is None else login.bind,
                        "groups": self.groups if login.groups is None else login.groups,
                    }
                )._made(base),
                gateway=gateway,
                title=self.name if login.title is None else login.title,
                client_id=login.client_id,
                client_secret=login.client_secret.source(base) if login.client_secret is not None else None,
                scopes=login.scopes,
            )


class Oidc(_Provider):
    """`type: oidc`."""

    type: Literal["oidc"]
    issuer: str
    azp: Texts = ()

    def _made(self, base: Path) -> OidcIssuer:
        """As identity takes it. Raises ValueError."""
        return presets.oidc(self._keyed(base, authorized_parties=self.azp), self.issuer)


class KnownProvider(_Provider):
    """Services that issue tokens to all their users, and that people sign in at."""

    type: Literal["gitlab-ci", "google"]
    issuer: str | None = None

    def _made(self, base: Path) -> OidcIssuer:
        """As identity takes it. Raises ValueError."""
        return presets.preset(self.type, self._keyed(base), self.issuer)


class Known(_Published):
    """Services that issue tokens to all their users."""

    type: Literal["github-actions", "terraform-cloud", "buildkite"]
    issuer: str | None = None

    def made(self, base: Path) -> OidcIssuer:
        """As identity takes it. Raises ValueError."""
        return presets.preset(self.type, self._keyed(base), self.issuer)


class Kubernetes(_Published):
    """`type: kubernetes`."""

    type: Literal["kubernetes"]
    issuer: str

    def made(self, base: Path) -> OidcIssuer:
        """As identity takes it. Raises ValueError."""
        return presets.kubernetes(self._keyed(base), self.issuer)


class Azure(_Provider):
    """`type: azure`."""

    type: Literal["azure"]
    tenant: str

    def _made(self, base: Path) -> OidcIssuer:
        """As identity takes it. Raises ValueError."""
        return presets.azure(self._keyed(base), self.tenant)


class CircleCi(_Published):
    """`type: circleci`; its tokens are made for the organization unless a job asks for more."""

    type: Literal["circleci"]
    organization: str
    audience: Texts = ()

    def made(self, base: Path) -> OidcIssuer:
        """As identity takes it. Raises ValueError."""
        return presets.circleci(self._keyed(base), self.organization)


class Spiffe(_Jwt):
    """`type: spiffe`."""

    type: Literal["spiffe"]
    trust_domain: str
    bundle_url: str | None = None
    bundle_file: str | None = None
    ca: str | None = None

    def made(self, base: Path) -> OidcIssuer:
        """As identity takes it. Raises ValueError."""
        bundle = {"jwks_uri": self.bundle_url, "jwks_file": _path(base, self.bundle_file)}
        return presets.spiffe(self._common(access=Access(_path(base, self.ca)), **bundle), self.trust_domain)


Issuer = Annotated[
    Oidc | KnownProvider | Known | Kubernetes | Azure | CircleCi | Spiffe | Saml | Aws | Certificates,
    Field(discriminator="type"),
]


def _path(base: Path, value: str | None) -> Path | None:
    return None if value is None else base / value
