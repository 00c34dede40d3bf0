"""Held commands."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from ostiary.api.models.base import Given, Reason, moment_of
from ostiary.approvals import Approval


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
    revision: int = Field(description="Grows with every vote.")
    session_id: str
    action_id: int
    principal_kind: str = Field(examples=["workload"])
    issuer: str = Field(examples=["github"])
    subject: str = Field(examples=["repo:acme/shop"])
    groups: list[str] = Field(description="Of the principal.")
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
    decided: datetime | None
    digest: str = Field(description="Binds the request to statement, bind values, target and session.")
    node: str = Field(description="Of the gateway that holds the connection.", examples=["node-1"])
    note: str

    @classmethod
    def of(cls, approval: Approval) -> "ApprovalOut":
        """From the use-case's."""
        asked = approval.request
        return cls(
            code=asked.code,
            state=approval.state.value,
            revision=approval.revision,
            session_id=asked.session_id,
            action_id=asked.action_id,
            principal_kind=asked.principal_kind,
            issuer=asked.issuer,
            subject=asked.subject,
            groups=list(asked.principal_groups),
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
            decided=moment_of(approval.decided_at),
            digest=asked.digest,
            node=asked.node,
            note=approval.note,
        )
