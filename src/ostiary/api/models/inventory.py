"""What is declared: targets, issuers, policies, classifications."""

from pathlib import Path
from typing import Annotated, Any, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field

from ostiary.api.models.base import Given
from ostiary.control.inventory import Classified
from ostiary.control.operations import TargetView
from ostiary.core import Operation
from ostiary.identity import AnyIssuer, AwsIssuer, OidcIssuer, SamlIssuer, X509Issuer
from ostiary.policy import Explanation, Rule


class TargetOut(BaseModel):
    """A target; nothing secret."""

    name: str = Field(examples=["orders"])
    protocol: str = Field(examples=["postgres"])
    address: str = Field(examples=["db.internal:5432"])
    database: str = Field(examples=["shop"])
    tls: str = Field(examples=["verify-full"])
    credential: str = Field(examples=["postgres-role"])
    labels: dict[str, str] = Field(examples=[{"environment": "production"}])

    @classmethod
    def of(cls, view: TargetView) -> "TargetOut":
        """From the use-case's."""
        return cls.model_validate(view, from_attributes=True)


class StepOut(BaseModel):
    """A part of the way to a target."""

    name: Literal["resolve", "connect", "tls", "credential", "login", "give back", "time"]
    ok: bool
    seconds: float
    detail: str = Field(description="What was found, or why it failed.", examples=["10.0.0.5:5432"])


class TargetTestOut(BaseModel):
    """How far the way to a target goes."""

    target: str = Field(examples=["orders"])
    ok: bool
    steps: list[StepOut] = Field(description="A failed one ends what comes after it; what was lent is taken back.")


class IssuerOut(BaseModel):
    """An issuer whose proofs are believed."""

    name: str = Field(examples=["github"])
    type: Literal["oidc", "saml", "aws", "x509"]
    issuer: str | None = Field(
        description="The `iss` claim, the entity id, or the SPIFFE trust domain.",
        examples=["https://token.actions.githubusercontent.com"],
    )
    audiences: list[str] = Field(description="Empty for client certificates.")
    kind: str = Field(examples=["workload"])
    algorithms: list[str] = Field(description="Of OIDC; else empty.", examples=[["RS256"]])
    bind: dict[str, Any] = Field(description="Claims that must have this value, or one of these.")
    groups: list[str] = Field(description="Templates.", examples=[["repo/{repository}"]])

    @classmethod
    def of(cls, issuer: AnyIssuer) -> "IssuerOut":
        """From the configuration's."""
        algorithms: tuple[str, ...] = ()
        audiences = () if isinstance(issuer, X509Issuer) else issuer.audiences
        kind: Literal["oidc", "saml", "aws", "x509"]
        identifier: str | None
        match issuer:
            case OidcIssuer():
                kind, identifier, algorithms = "oidc", issuer.issuer, issuer.algorithms
            case SamlIssuer():
                kind, identifier = "saml", issuer.entity_id
            case AwsIssuer():
                kind, identifier = "aws", None
            case X509Issuer():
                kind, identifier = "x509", issuer.trust_domain
            case _:
                assert_never(issuer)
        return cls(
            name=issuer.name,
            type=kind,
            issuer=identifier,
            audiences=list(audiences),
            kind=issuer.kind.value,
            algorithms=list(algorithms),
            bind=dict(issuer.bind),
            groups=list(issuer.groups),
        )


class RuleOut(BaseModel):
    """A Cedar rule in force."""

    name: str = Field(examples=["no-unbounded-delete"])
    effect: Literal["permit", "forbid"]
    file: str = Field(examples=["start.cedar"])
    line: int = Field(examples=[32])
    annotations: dict[str, str]
    text: str

    @classmethod
    def of(cls, rule: Rule) -> "RuleOut":
        """Without the directory it stands in."""
        return cls(
            name=rule.name,
            effect=rule.effect,
            file=Path(rule.file).name,
            line=rule.line,
            annotations=dict(rule.annotations),
            text=rule.text,
        )


class PoliciesOut(BaseModel):
    """A page of the rules in force."""

    version: int = Field(description="Grows with every reload.", examples=[1])
    items: list[RuleOut]
    next: str | None


class ClassifiedOut(BaseModel):
    """A classified object, and what becomes of its values."""

    model_config = ConfigDict(populate_by_name=True)

    target: str = Field(examples=["orders"])
    object: str = Field(examples=["public.customers.email"])
    data_class: str = Field(serialization_alias="class", examples=["pii.email"])
    transform: str = Field(examples=["partial"])

    @classmethod
    def of(cls, each: Classified) -> "ClassifiedOut":
        """From the use-case's."""
        return cls(target=each.target, object=each.object, data_class=each.data_class, transform=each.transform.value)


class Question(Given):
    """What would the rules say? Give `sql`, or `operation` and `object`."""

    principal: Annotated[str, Field(min_length=3, max_length=512, examples=["github:repo:acme/shop"])]
    groups: list[Annotated[str, Field(max_length=256)]] = Field(default_factory=list, max_length=100)
    kind: Literal["workload", "human"] = "workload"
    target: Annotated[str, Field(min_length=1, max_length=63, examples=["orders"])]
    sql: Annotated[str | None, Field(min_length=1, max_length=16_384, examples=["DELETE FROM public.orders"])] = None
    operation: Annotated[Operation | None, Field(strict=False)] = None
    object: Annotated[str, Field(max_length=512, description='"": the target itself.')] = ""
    rows: Annotated[
        int | None, Field(ge=0, le=2**62, description="The target's estimate of rows, where a rule looks at it.")
    ] = None


class FindingOut(BaseModel):
    """What the rules say of one operation on one object."""

    action: str = Field(examples=["delete"])
    resource: str = Field(examples=["orders/public.orders"])
    verdict: str = Field(examples=["deny"])
    permits: list[RuleOut]
    forbids: list[RuleOut]
    estimates: list[RuleOut] = Field(description="Those that fit and look at the target's estimate of rows.")
    sentence: str


class AnswerOut(BaseModel):
    """How the rules in force decide."""

    verdict: Literal["allow", "deny", "hold", "weigh"]
    rules: list[str] = Field(description="Those that decided.")
    reason: str
    approval_groups: list[str]
    version: int
    findings: list[FindingOut]

    @classmethod
    def of(cls, explanation: Explanation) -> "AnswerOut":
        """From the use-case's."""
        ruling = explanation.ruling
        return cls(
            verdict=ruling.verdict.value,
            rules=list(ruling.rules),
            reason=ruling.reason,
            approval_groups=list(ruling.approval_groups),
            version=ruling.version,
            findings=[
                FindingOut(
                    action=found.action,
                    resource=found.resource,
                    verdict=found.verdict.value,
                    permits=[RuleOut.of(rule) for rule in found.permits],
                    forbids=[RuleOut.of(rule) for rule in found.forbids],
                    estimates=[RuleOut.of(rule) for rule in found.estimates],
                    sentence=found.sentence,
                )
                for found in explanation.findings
            ],
        )
