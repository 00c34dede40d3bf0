"""`issuers:` whose proofs are no JWT, and what all of them have in common."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from ostiary.config.values import Bound, Name, Seconds, Section, Texts
from ostiary.core import PrincipalKind
from ostiary.identity import AnyIssuer, AwsIssuer, SamlIssuer, X509Issuer
from ostiary.identity.aws.issuer import DEFAULT_GROUPS
from ostiary.identity.certificate_issuer import SubjectName


class IssuerSection(Section, ABC):
    """What issuers of every kind have in common."""

    name: Name
    kind: Literal["workload", "human"] = "workload"
    bind: dict[str, Bound] = Field(default_factory=dict)
    max_session: Seconds = 43200.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.made(Path())
        return self

    @abstractmethod
    def made(self, base: Path) -> AnyIssuer:
        """As identity takes it. Raises ValueError."""


class Saml(IssuerSection):
    """`type: saml`."""

    type: Literal["saml"]
    entity_id: str
    metadata: str
    audience: Texts
    recipient: Texts
    groups: Texts = ()
    one_time: bool = False
    leeway: Seconds = 30.0
    session_grace: Seconds = 60.0

    def made(self, base: Path) -> SamlIssuer:
        """As identity takes it. Raises ValueError."""
        return SamlIssuer(
            name=self.name,
            entity_id=self.entity_id,
            metadata=base / self.metadata,
            audiences=self.audience,
            recipients=self.recipient,
            kind=PrincipalKind(self.kind),
            bind=self.bind,
            groups=self.groups,
            one_time=self.one_time,
            leeway=self.leeway,
            session_grace=self.session_grace,
            max_session=self.max_session,
        )


class Aws(IssuerSection):
    """`type: aws`."""

    type: Literal["aws"]
    audience: Texts
    groups: Texts = DEFAULT_GROUPS
    regions: Texts = ()
    max_age: Seconds = 300.0
    leeway: Seconds = 30.0
    max_session: Seconds = 3600.0

    def made(self, base: Path) -> AwsIssuer:
        """As identity takes it. Raises ValueError."""
        return AwsIssuer(
            name=self.name,
            audiences=self.audience,
            bind=self.bind,
            groups=self.groups,
            regions=self.regions,
            max_age=self.max_age,
            leeway=self.leeway,
            max_session=self.max_session,
            kind=PrincipalKind(self.kind),
        )


class Certificates(IssuerSection):
    """`type: x509`."""

    type: Literal["x509"]
    ca: str
    trust_domain: str | None = None
    subject: SubjectName = "common-name"
    groups: Texts = ()
    session_grace: Seconds = 60.0

    def made(self, base: Path) -> X509Issuer:
        """As identity takes it. Raises ValueError."""
        return X509Issuer(
            name=self.name,
            ca=base / self.ca,
            trust_domain=self.trust_domain,
            subject=self.subject,
            kind=PrincipalKind(self.kind),
            bind=self.bind,
            groups=self.groups,
            session_grace=self.session_grace,
            max_session=self.max_session,
        )
