"""Sessions, recorded and live."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from ostiary.api.models.base import Given, Reason, moment_of
from ostiary.control.sessions import Ended, SessionView
from ostiary.recording import ActionDetail, Moment, SessionDetail, SessionSummary


class SessionOut(BaseModel):
    """A recorded session. Its texts are what clients sent, with control characters made visible."""

    session_id: str = Field(examples=["5f2c0a1b9d3e4f60"])
    state: Literal["running", "sealed", "unsealed", "unreadable"]
    live: bool = Field(description="It lives in some process of the gateway, and can be ended.")
    started: datetime | None
    ended: datetime | None
    principal: str = Field(examples=["github:repo:acme/shop:ref:refs/heads/main"])
    target: str = Field(examples=["orders"])
    protocol: str = Field(examples=["postgres"])
    source: str = Field(examples=["10.1.2.3:40000"])
    actions: int | None = Field(description="Commands let through; null: not known.")
    refused: int | None
    reason: str = Field(description="Why it ended.")
    file: str = Field(
        description="Its recording, in the directory of recordings.",
        examples=["2026/01/31/235959-5f2c0a1b9d3e4f60.rec"],
    )

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

    principal_kind: str = Field(examples=["workload"])
    issuer: str = Field(description="Its name in the configuration.", examples=["github"])
    subject: str = Field(examples=["repo:acme/shop:ref:refs/heads/main"])
    proof_id: str = Field(description="A name for the token, which is no secret.")
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
            principal_kind=started.principal_kind if started is not None else "",
            issuer=started.issuer if started is not None else "",
            subject=started.subject if started is not None else "",
            proof_id=started.proof_id if started is not None else "",
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
        "file": "/".join(summary.path.parts[-4:]),
    }


class CutOut(BaseModel):
    """A text that was too long to be recorded whole."""

    at: str = Field(examples=["text"])
    bytes: int
    sha256: str


class CommandOut(BaseModel):
    """One command: what it was, what was ruled, how it ended."""

    action_id: int
    time: datetime | None = Field(description="Of its ruling.")
    text: str = Field(examples=["SELECT 1"])
    summary: str
    verdict: str = Field(description="Of policy; for a refused one, the kind of refusal.", examples=["allow"])
    rules: list[str]
    parameters: list[str | None] = Field(description="Bind values, masked where classified.")
    cuts: list[CutOut]
    approval_id: str
    approved_by: list[str]
    status: str = Field(description='"": it runs, or its end was not recorded.', examples=["ok"])
    outcome: str = Field(description="Completion tag, error code, or the sentence of a refusal.")
    rows: int
    bytes: int
    masked: dict[str, str] = Field(description="Columns in which something was masked, and by what.")

    @classmethod
    def of(cls, action: ActionDetail) -> "CommandOut":
        """From the recording's."""
        return cls(
            action_id=action.action_id,
            time=moment_of(action.time),
            text=action.text,
            summary=action.summary,
            verdict=action.verdict,
            rules=list(action.rules),
            parameters=list(action.parameters),
            cuts=[CutOut.model_validate(cut, from_attributes=True) for cut in action.cuts],
            approval_id=action.approval_id,
            approved_by=list(action.approved_by),
            status=action.status,
            outcome=action.outcome,
            rows=action.rows,
            bytes=action.bytes,
            masked=dict(action.masked),
        )


class CommandsOut(BaseModel):
    """A page of commands."""

    items: list[CommandOut]
    next: str | None
    more: int = Field(description="Commands beyond the first 1,000: those are in its replay.")


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


class TailOut(MomentOut):
    """A line of a tail."""

    line: int | None = Field(description="Its number in the recording: what to give as `after` to go on behind it.")

    @classmethod
    def at(cls, found: tuple[int, Moment] | str) -> "TailOut":
        """From the use-case's; a text says why the caller may not go on."""
        if isinstance(found, str):
            return cls(
                line=None, offset=0, kind="interrupted", action_id=None, text=found, notes=[], columns=[], rows=[]
            )
        line, moment = found
        return cls(line=line, **MomentOut.of(moment).model_dump())


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
