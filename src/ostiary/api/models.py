"""What the API shows and takes, apart from the rooms' own types: a name here is a promise."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ostiary.approvals import Approval
from ostiary.control.history import Changed
from ostiary.control.inventory import Classified
from ostiary.control.operations import TargetView
from ostiary.control.sessions import Ended, SessionView
from ostiary.control.verification import Verification
from ostiary.core import Operation
from ostiary.identity import AnyIssuer, AwsIssuer, OidcIssuer, SamlIssuer, X509Issuer
from ostiary.policy import Explanation, Rule
from ostiary.recording import Moment, SessionDetail, SessionSummary, Verdict

Reason = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Given(BaseModel):
    """A body that is sent: unknown members are an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


def moment_of(seconds: float | None) -> datetime | None:
    """Unix seconds as RFC 3339, UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


# ---------------------------------------------------------------- the gateway


class Version(BaseModel):
    """What runs."""

    version: str = Field(examples=["0.1.0"])
    node: str = Field(description="`server.node` of the process that answers.", examples=["node-1"])


class Health(BaseModel):
    """It is as it should be."""

    status: Literal["ok"] = "ok"


# ---------------------------------------------------------------- what is declared


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
    groups: Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=100)] = []
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
                    sentence=found.sentence,
                )
                for found in explanation.findings
            ],
        )


# ---------------------------------------------------------------- sessions


class SessionOut(BaseModel):
    """A recorded session. Its texts are what clients sent, with control characters made visible."""

    session_id: str = Field(examples=["5f2c0a1b9d3e4f60"])
    state: Literal["running", "sealed", "unsealed", "unreadable"]
    live: bool = Field(description="It lives in the process that answers, and can be ended there.")
    started: datetime | None
    ended: datetime | None
    principal: str = Field(examples=["github:repo:acme/shop:ref:refs/heads/main"])
    target: str = Field(examples=["orders"])
    protocol: str = Field(examples=["postgres"])
    source: str = Field(examples=["10.1.2.3:40000"])
    actions: int | None = Field(description="Commands let through; null: not known.")
    refused: int | None
    reason: str = Field(description="Why it ended.")

    @classmethod
    def of(cls, view: SessionView) -> "SessionOut":
        """From the use-case's."""
        return cls(**_summary(view.summary), live=view.live)


class LeaseOut(BaseModel):
    """The credential that was lent. Never a password."""

    lease_id: str
    kind: str = Field(examples=["postgres-role"])
    username: str


class SessionDetailOut(SessionOut):
    """A session without its commands: those are in its replay."""

    groups: list[str]
    claims: dict[str, str]
    rules: list[str] = Field(description="Those that admitted it.")
    lease: LeaseOut | None
    credential: str = Field(description="What became of the credential.")
    damage: str = Field(description="Why reading ended early, when it did.")

    @classmethod
    def detail(cls, detail: SessionDetail, live: bool) -> "SessionDetailOut":
        """From the use-case's."""
        started, lease = detail.started, detail.lease
        return cls(
            **_summary(detail.summary),
            live=live,
            groups=list(started.groups) if started is not None else [],
            claims=dict(started.claims) if started is not None else {},
            rules=list(started.rules) if started is not None else [],
            lease=LeaseOut.model_validate(lease, from_attributes=True) if lease is not None else None,
            credential=detail.ended.credential if detail.ended is not None else "",
            damage=detail.damage,
        )


def _summary(summary: SessionSummary) -> dict[str, Any]:
    return {
        "session_id": summary.session_id,
        "state": summary.state.value,
        "started": moment_of(summary.started),
        "ended": moment_of(summary.ended),
        "principal": summary.principal,
        "target": summary.target,
        "protocol": summary.protocol,
        "source": summary.source,
        "actions": summary.actions,
        "refused": summary.refused,
        "reason": summary.reason,
    }


class MomentOut(BaseModel):
    """Something that happened in a session."""

    offset: float = Field(description="Seconds since its beginning.", examples=[0.25])
    kind: str = Field(examples=["statement"])
    action_id: int | None
    text: str = Field(examples=["SELECT 1"])
    notes: list[str]
    columns: list[str]
    rows: list[list[str | None]]

    @classmethod
    def of(cls, moment: Moment) -> "MomentOut":
        """From the use-case's."""
        return cls(
            offset=moment.offset,
            kind=moment.kind.value,
            action_id=moment.action_id,
            text=moment.text,
            notes=list(moment.notes),
            columns=list(moment.columns),
            rows=[list(row) for row in moment.rows],
        )


class Kill(Given):
    """Ending a session."""

    reason: Annotated[Reason, Field(min_length=1, description="Its client reads it.", examples=["wrong database"])]


class EndedOut(BaseModel):
    """A session that was ended: nothing of it runs any more."""

    session_id: str
    by: str = Field(examples=["corp:dana"])
    reason: str
    closed: bool = Field(description="Its record is closed and its credential was asked back; false: that goes on.")

    @classmethod
    def of(cls, ended: Ended) -> "EndedOut":
        """From the use-case's."""
        return cls.model_validate(ended, from_attributes=True)


# ---------------------------------------------------------------- approvals


class Decision(Given):
    """Approving or denying."""

    reason: Annotated[Reason, Field(examples=["seen with the team"])] = ""


class QuorumOut(BaseModel):
    """So many members of a group."""

    group: str = Field(examples=["dba"])
    required: int = Field(examples=[1])


class VoteOut(BaseModel):
    """One person's decision."""

    by: str = Field(examples=["corp:dana"])
    groups: list[str]
    approve: bool
    reason: str
    at: datetime | None


class ApprovalOut(BaseModel):
    """A held command, and where it stands. Its ETag changes with every vote."""

    code: str = Field(examples=["7K2PQ4MD"])
    state: Literal["pending", "approved", "denied", "expired", "withdrawn", "consumed"]
    session_id: str
    principal: str = Field(examples=["github:repo:acme/shop"])
    target: str = Field(examples=["orders"])
    text: str = Field(description="The command exactly as it would run.", examples=["DROP TABLE public.old"])
    parameters: list[str | None] = Field(description="Bind values, masked where classified.")
    summary: str
    accesses: list[str] = Field(examples=[["define orders/public.old"]])
    rules: list[str]
    reason: str
    rows_estimate: int | None
    quorums: list[QuorumOut]
    missing: list[QuorumOut]
    votes: list[VoteOut]
    created: datetime | None
    expires: datetime | None
    note: str

    @classmethod
    def of(cls, approval: Approval) -> "ApprovalOut":
        """From the use-case's."""
        asked = approval.request
        return cls(
            code=asked.code,
            state=approval.state.value,
            session_id=asked.session_id,
            principal=asked.principal,
            target=asked.target,
            text=asked.text,
            parameters=list(asked.parameters),
            summary=asked.summary,
            accesses=list(asked.accesses),
            rules=list(asked.rules),
            reason=asked.reason,
            rows_estimate=asked.rows_estimate,
            quorums=[QuorumOut(group=each.group, required=each.required) for each in asked.quorums],
            missing=[QuorumOut(group=each.group, required=each.required) for each in approval.missing],
            votes=[
                VoteOut(
                    by=vote.by,
                    groups=list(vote.groups),
                    approve=vote.approve,
                    reason=vote.reason,
                    at=moment_of(vote.at),
                )
                for vote in approval.votes
            ],
            created=moment_of(asked.created_at),
            expires=moment_of(asked.expires_at),
            note=approval.note,
        )


# ---------------------------------------------------------------- audit


class FileOut(BaseModel):
    """A file that is not as it was written."""

    file: str
    type: Literal["recording", "heads", "audit"]
    state: str = Field(examples=["tampered"])
    findings: list[str] = Field(examples=[["record 7 was changed"]])

    @classmethod
    def of(cls, verdict: Verdict) -> "FileOut":
        """Without the directory it stands in."""
        return cls(
            file=verdict.path.name,
            type=verdict.type.value,
            state=verdict.state.value,
            findings=[finding.message for finding in verdict.findings],
        )


class ChangeOut(BaseModel):
    """A line of an audit log: somebody changed something, or was about to."""

    at: datetime | None
    stage: Literal["asked", "done", "failed"]
    change_id: str = Field(description="The same in the lines of one change.")
    by: str = Field(examples=["corp:dana"])
    source: str = Field(examples=["10.1.2.3:40000"])
    action: str = Field(examples=["administer"])
    resource: str = Field(examples=["sessions/5f2c0a1b9d3e4f60"])
    rules: list[str] = Field(description="Those that permitted it.")
    reason: str
    before: dict[str, Any] = Field(examples=[{"state": "live"}])
    after: dict[str, Any] = Field(examples=[{"state": "ended"}])

    @classmethod
    def of(cls, changed: Changed) -> "ChangeOut":
        """From the use-case's."""
        change = changed.change
        return cls(
            at=moment_of(changed.time),
            stage=change.stage.value,
            change_id=change.change_id,
            by=change.by,
            source=change.source,
            action=change.action,
            resource=change.resource,
            rules=list(change.rules),
            reason=change.reason,
            before=dict(change.before),
            after=dict(change.after),
        )


class VerificationOut(BaseModel):
    """Is what was recorded whole?"""

    whole: bool = Field(description="No file is tampered with or unreadable.")
    states: dict[str, int] = Field(description="Files by state.", examples=[{"intact": 12, "running": 1}])
    records: int
    bad: list[FileOut] = Field(description="Tampered with or unreadable; at most 100.")

    @classmethod
    def of(cls, found: Verification) -> "VerificationOut":
        """From the use-case's."""
        return cls(
            whole=found.whole,
            states={state.value: number for state, number in found.states.items()},
            records=found.records,
            bad=[FileOut.of(verdict) for verdict in found.bad],
        )
