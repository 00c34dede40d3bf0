"""`issuers:`, whose tokens are believed."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ostiary.config.values import Bound, Name, Seconds, Section, Texts
from ostiary.core import PrincipalKind
from ostiary.identity.issuer import DEFAULT_ALGORITHMS, OidcIssuer


class Issuer(Section):
    """One of `issuers:`."""

    name: Name
    type: Literal["oidc"]
    issuer: str
    audience: Texts
    kind: Literal["workload", "human"] = "workload"
    jwks_uri: str | None = None
    algorithms: Texts = DEFAULT_ALGORITHMS
    azp: Texts = ()
    bind: dict[str, Bound] = Field(default_factory=dict)
    groups: Texts = ()
    leeway: Seconds = 30.0
    session_grace: Seconds = 60.0
    max_session: Seconds = 43200.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.made()
        return self

    def made(self) -> OidcIssuer:
        """As identity takes it. Raises ValueError."""
        return OidcIssuer(
            name=self.name,
            issuer=self.issuer,
            audiences=self.audience,
            kind=PrincipalKind(self.kind),
            jwks_uri=self.jwks_uri,
            algorithms=self.algorithms,
            authorized_parties=self.azp,
            bind=self.bind,
            groups=self.groups,
            leeway=self.leeway,
            session_grace=self.session_grace,
            max_session=self.max_session,
        )
