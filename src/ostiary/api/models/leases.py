"""Credentials that are lent."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from ostiary.api.models.base import Given, Reason, moment_of
from ostiary.control.leases import Revoked
from ostiary.credentials import LeaseEntry


class LeaseEntryOut(BaseModel):
    """A credential that may exist on a target. Never a password."""

    lease_id: str = Field(examples=["9d3e4f605f2c0a1b"])
    session_id: str = Field(examples=["5f2c0a1b9d3e4f60"])
    target: str = Field(examples=["orders"])
    kind: str = Field(examples=["postgres-role"])
    username: str = Field(examples=["ostiary_orders_9d3e4f605f2c0a1b"])
    state: Literal["intent", "active", "revoking"]
    expires: datetime | None = Field(description="null: the credential itself has no end.")

    @classmethod
    def of(cls, entry: LeaseEntry) -> "LeaseEntryOut":
        """From the service's."""
        return cls(
            lease_id=entry.lease_id,
            session_id=entry.session_id,
            target=entry.target,
            kind=entry.kind,
            username=entry.username,
            state=entry.state.value,
            expires=moment_of(entry.expires_at),
        )


class Revocation(Given):
    """Taking one back."""

    reason: Annotated[Reason, Field(min_length=1, description="The session's client reads it.", examples=["leaked"])]


class RevokedOut(BaseModel):
    """A lease that was taken back, or is being."""

    lease_id: str
    session_id: str
    target: str
    ended: bool = Field(description="Its session lived, and was ended.")
    gone: bool = Field(description="The target has confirmed it; false: it is asked until it has.")

    @classmethod
    def of(cls, revoked: Revoked) -> "RevokedOut":
        """From the use-case's."""
        return cls.model_validate(revoked, from_attributes=True)
