"""What was changed, and whether the log is whole."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from ostiary.api.models.base import moment_of
from ostiary.control.verification import Verification
from ostiary.recording import Changed, CommandFound, Verdict


class FoundOut(BaseModel):
    """One thing that is wrong with a file."""

    kind: str = Field(examples=["changed"])
    message: str = Field(examples=["record 7 was changed"])
    seq: int | None = Field(description="The record it is about, counted from 0.")


class FileOut(BaseModel):
    """A file that is not as it was written."""

    file: str
    name: str = Field(description="Session id, or name of the log.")
    type: Literal["recording", "heads", "audit"]
    state: str = Field(examples=["tampered"])
    findings: list[str] = Field(examples=[["record 7 was changed"]])
    details: list[FoundOut] = Field(description="The same, in parts.")
    records: int = Field(description="Whole lines found.")
    key: str = Field(description="Fingerprint that its header names.")

    @classmethod
    def of(cls, verdict: Verdict) -> "FileOut":
        """Without the directory it stands in."""
        return cls(
            file=verdict.path.name,
            name=verdict.name,
            details=[FoundOut.model_validate(finding, from_attributes=True) for finding in verdict.findings],
            records=verdict.records,
            key=verdict.key,
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


class CommandFoundOut(BaseModel):
    """A command of a session."""

    time: datetime | None
    session_id: str = Field(examples=["5f2c0a1b9d3e4f60"])
    principal: str = Field(examples=["github:repo:acme/shop"])
    target: str = Field(examples=["orders"])
    source: str = Field(examples=["10.1.2.3:40000"])
    action_id: int
    verdict: str = Field(description="allow, held, approved, or refused with its kind.", examples=["refused: policy"])
    rules: list[str]
    accesses: list[str] = Field(examples=[["read orders/public.customers"]])
    text: str = Field(examples=["SELECT 1"])

    @classmethod
    def of(cls, found: CommandFound) -> "CommandFoundOut":
        """From the recording's."""
        return cls(
            time=moment_of(found.time),
            session_id=found.session_id,
            principal=found.principal,
            target=found.target,
            source=found.source,
            action_id=found.action_id,
            verdict=found.verdict,
            rules=list(found.rules),
            accesses=list(found.accesses),
            text=found.text,
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
