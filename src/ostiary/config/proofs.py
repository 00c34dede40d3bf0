"""`issuers:` whose proofs are no JWT, and what all of them have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ostiary.config.values import Bound, Name, Seconds, Section, Texts
from ostiary.core import PrincipalKind
from ostiary.identity import AnyIssuer, AwsIssuer, SamlIssuer, X509Issuer
from ostiary.identity.aws.issuer import DEFAULT_GROUPS
from ostiary.identity.certificate_issuer import SubjectName
from ostiary.signin.logins import Login, SamlLogin


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

    @property
    def people_only(self) -> bool:
        """No token of it is taken: people sign in there, and that is all."""
        return False

    def sign_in(self, base: Path, gateway: str) -> Login | None:
        """How people sign in there, at the gateway of this URL; None where they don't. Raises ValueError."""
        del base, gateway
        return None


class SignInSection(Section):
    """`login:`, for people who sign in at this gateway's login page."""

    title: str | None = None
    bind: dict[str, Bound] | None = None
    groups: Texts | None = None


@contextmanager
def told_of_login() -> Iterator[None]:
    """A ValueError is about the section `login`."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"login: {error}") from None


class Saml(IssuerSection):
    """`type: saml`."""

    type: Literal["saml"]
    entity_id: str
    metadata: str
    audience: Texts = ()
    recipient: Texts = ()
    login: SignInSection | None = None
    groups: Texts = ()
    one_time: bool = False
    leeway: Seconds = 30.0
    session_grace: Seconds = 60.0

    @property
    def people_only(self) -> bool:
        """See IssuerSection."""
        return self.login is not None and self.model_fields_set.isdisjoint(("audience", "recipient"))

    def made(self, base: Path) -> SamlIssuer:
        """As identity takes it; of one that is for people only, what they sign in with. Raises ValueError."""
        login = self.sign_in(base, "")
        if login is not None and self.people_only:
            return login.issuer
        for missing in ("audience", "recipient"):
            if missing not in self.model_fields_set:
                raise ValueError(f"{missing} is missing")
        return self._made(base, self.audience, self.recipient, self.bind, self.groups)

    def sign_in(self, base: Path, gateway: str) -> SamlLogin | None:
        """As signin takes it. Raises ValueError."""
        login = self.login
        if login is None:
            return None
        with told_of_login():
            bind = self.bind if login.bind is None else login.bind
            groups = self.groups if login.groups is None else login.groups
            return SamlLogin(
                issuer=self._made(base, ("-",), ("-",), bind, groups),
                gateway=gateway,
                title=self.name if login.title is None else login.title,
            )

    def _made(
        self,
        base: Path,
        audience: tuple[str, ...],
        recipient: tuple[str, ...],
        bind: dict[str, Any],
        groups: tuple[str, ...],
    ) -> SamlIssuer:
        return SamlIssuer(
            name=self.name,
            entity_id=self.entity_id,
            metadata=base / self.metadata,
            audiences=audience,
            recipients=recipient,
            kind=PrincipalKind(self.kind),
            bind=bind,
            groups=groups,
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
    crl: Texts = ()
    trust_domain: str | None = None
    subject: SubjectName = "common-name"
    groups: Texts = ()
    session_grace: Seconds = 60.0

    def made(self, base: Path) -> X509Issuer:
        """As identity takes it. Raises ValueError."""
        return X509Issuer(
            name=self.name,
            ca=base / self.ca,
            crl=tuple(base / each for each in self.crl),
            trust_domain=self.trust_domain,
            subject=self.subject,
            kind=PrincipalKind(self.kind),
            bind=self.bind,
            groups=self.groups,
            session_grace=self.session_grace,
            max_session=self.max_session,
        )
