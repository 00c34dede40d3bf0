"""What models of several resources are made with."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Reason = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Given(BaseModel):
    """A body that is sent: unknown members are an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


def moment_of(seconds: float | None) -> datetime | None:
    """Unix seconds as RFC 3339, UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def seconds_of(at: datetime | None) -> float | None:
    """The other way."""
    return None if at is None else at.timestamp()
