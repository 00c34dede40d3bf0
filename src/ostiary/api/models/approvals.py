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
