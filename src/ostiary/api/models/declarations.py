"""What is declared, where, and what a change to it comes to."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from ostiary.api.models.base import Given, moment_of
from ostiary.api.models.inventory import IssuerOut, RuleOut, TargetOut
from ostiary.control.declarations import Declaration, Outcome, told
from ostiary.resources import MAX_RESOURCES, ResourceKind

Kind = Literal["target", "issuer", "policy", "classification", "masking", "approval-group"]
_MASKING = {"transform": "partial"}


class DeclarationOut(BaseModel):
    """A declaration: of a file, which is read-only here, or stored."""

    kind: Kind
    name: str = Field(examples=["pii.email"])
    place: str | None = Field(description="File and line that declare it; null: it is stored.", examples=[None])
    revision: int | None = Field(description="Of all that is stored, when this was last changed.", examples=[17])
    changed: datetime | None
    changed_by: str | None = Field(examples=["corp:dana"])
    document: dict[str, Any] | None = Field(
        description="The section of the configuration, without its name; null for whoever may not `administer` it.",
        examples=[_MASKING],
    )

    @classmethod
    def of(cls, found: Declaration) -> "DeclarationOut":
        """From the use-case's, without the directory of a file."""
        return cls(
            kind=found.key.kind.value,
            name=found.key.name,
            place=None if found.place is None else Path(found.place).name,
            revision=found.revision,
            changed=moment_of(found.changed_at),
            changed_by=found.changed_by,
            document=None if found.document is None else dict(found.document),
        )


class TargetShown(TargetOut):
    """A target, and where it is declared."""

    declaration: DeclarationOut | None


class IssuerShown(IssuerOut):
    """An issuer, and where it is declared."""

    declaration: DeclarationOut | None


class RuleShown(RuleOut):
    """A rule, and where it is declared."""

    declaration: DeclarationOut | None


class DifferenceOut(BaseModel):
    """One field; null: it is not there."""

    field: str = Field(examples=["transform"])
    before: Any = Field(examples=["redact"])
    after: Any = Field(examples=["partial"])


class PlannedOut(BaseModel):
    """What becomes of one resource."""

    kind: Kind
    name: str = Field(examples=["pii.email"])
    change: Literal["create", "change", "delete", "unchanged"]
    place: str | None = Field(description="File and line that declare it just so.", examples=[None])
    differences: list[DifferenceOut]


class OutcomeOut(BaseModel):
    """What a change came to."""

    revision: int = Field(
        description='Of all that is stored, afterwards; `If-Match` takes it as `"r17"`.', examples=[17]
    )
    changed: bool = Field(description="There is, or would be, a difference.")
    dry_run: bool = Field(description="It was only shown.")
    in_force: Literal["now", "within 5 s", "not"] = Field(
        description="`now`: in the process that answers; in every other within 5 s."
    )
    changes: list[PlannedOut]

    @classmethod
    def of(cls, outcome: Outcome) -> "OutcomeOut":
        """From the use-case's."""
        return cls.model_validate(told(outcome))


class Resource(Given):
    """A declaration to apply."""

    kind: Annotated[ResourceKind, Field(strict=False)]
    name: Annotated[str, Field(min_length=1, max_length=300, examples=["pii.email"])]
    document: dict[str, Any] = Field(
        description='The section of the configuration, without its name; of a policy `{"text": …}`.',
        examples=[_MASKING],
    )


class Application(Given):
    """Declarations to apply, in one change."""

    resources: Annotated[list[Resource], Field(max_length=MAX_RESOURCES)]
    prune: Annotated[bool, Field(description="Delete what is stored and not among them.")] = False
    dry_run: Annotated[bool, Field(description="Only show what would change.", examples=[True])] = False
    revision: Annotated[int | None, Field(ge=0, le=2**62, description="What is stored must be at it.")] = None
