"""What other policies would have made of what was recorded."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from ostiary.api.models.base import Given
from ostiary.control.simulation import Change, Simulation

FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\.cedar$")]
Verdict = Literal["allow", "deny", "hold", "weigh"]


class Proposal(Given):
    """Policies to compare with those in force."""

    policies: dict[FileName, str] = Field(
        max_length=256,
        description="Text by name of file: all there would be.",
        examples=[{"all.cedar": "permit (principal, action, resource);"}],
    )
    target: Annotated[str, Field(max_length=63, description='Only sessions on this one; "": on all.')] = ""
    since: Annotated[
        AwareDatetime | None, Field(strict=False, description="Only sessions begun since.", examples=[None])
    ] = None
    cursor: Annotated[str, Field(max_length=600, pattern=r"^[A-Za-z0-9_-]*$", examples=[""])] = ""


class ChangeInRulingOut(BaseModel):
    """Commands of one shape that would be ruled otherwise."""

    target: str = Field(examples=["orders"])
    summary: str = Field(examples=["DELETE without WHERE on public.orders"])
    before: Verdict = Field(description="By the rules in force.")
    after: Verdict = Field(description="By those proposed; weigh: it depends on an estimate of rows.")
    rules_before: list[str]
    rules_after: list[str]
    count: int
    principals: list[str] = Field(description="At most ten.")
    session_id: str = Field(description="Of one of them.")
    text: str = Field(description="Of one of them.")

    @classmethod
    def of(cls, change: Change) -> "ChangeInRulingOut":
        """From the use-case's."""
        return cls(
            target=change.target,
            summary=change.summary,
            before=change.before.value,
            after=change.after.value,
            rules_before=list(change.rules_before),
            rules_after=list(change.rules_after),
            count=change.count,
            principals=list(change.principals),
            session_id=change.session_id,
            text=change.text,
        )


class SimulationOut(BaseModel):
    """A part of what was recorded, ruled on again."""

    sessions: int
    commands: int
    skipped: int = Field(description="Commands that can't be asked about: not recorded whole, or unreadable.")
    drifted: int = Field(description="Commands that the rules in force would rule on otherwise than was recorded.")
    changes: list[ChangeInRulingOut] = Field(description="The most frequent first, at most 500.")
    next: str | None = Field(description="Cursor of the next part.", examples=[None])

    @classmethod
    def of(cls, found: Simulation) -> "SimulationOut":
        """From the use-case's; where to go on is not a cursor yet."""
        return cls(
            sessions=found.sessions,
            commands=found.commands,
            skipped=found.skipped,
            drifted=found.drifted,
            changes=[ChangeInRulingOut.of(change) for change in found.changes],
            next=found.next,
        )
