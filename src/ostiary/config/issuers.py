"""`issuers:`, whose tokens are believed. `type` chooses what is known of one beforehand."""

import json
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ostiary.config.proofs import Aws, Certificates, IssuerSection, Saml
from ostiary.config.values import Seconds, Texts
from ostiary.core import PrincipalKind
from ostiary.identity import presets
from ostiary.identity.fetch import Access
from ostiary.identity.issuer import DEFAULT_ALGORITHMS, OidcIssuer
from ostiary.identity.presets import Common


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


class Oidc(_Published):
    """`type: oidc`."""

    type: Literal["oidc"]
    issuer: str
    azp: Texts = ()

    def made(self, base: Path) -> OidcIssuer:
        """As identity takes it. Raises ValueError."""
        return presets.oidc(self._keyed(base, authorized_parties=self.azp), self.issuer)


class Known(_Published):
    """Services that issue tokens to all their users."""

    type: Literal["github-actions", "gitlab-ci", "terraform-cloud", "buildkite", "google"]
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


class Azure(_Published):
    """`type: azure`."""

    type: Literal["azure"]
    tenant: str

    def made(self, base: Path) -> OidcIssuer:
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
    Oidc | Known | Kubernetes | Azure | CircleCi | Spiffe | Saml | Aws | Certificates, Field(discriminator="type")
]


def _path(base: Path, value: str | None) -> Path | None:
    return None if value is None else base / value
