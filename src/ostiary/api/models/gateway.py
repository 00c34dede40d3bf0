"""The gateway itself."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, Field

from ostiary.accounts.issued import TOKEN_CLAIM
from ostiary.api.models.base import moment_of
from ostiary.control.inventory import Me

MAX_PROBLEMS: Final = 100


class Version(BaseModel):
    """What runs."""

    version: str = Field(examples=["0.1.0"])
    node: str = Field(description="`server.node` of the process that answers.", examples=["node-1"])


class Health(BaseModel):
    """It is as it should be."""

    status: Literal["ok"] = "ok"


class GatewayHealth(BaseModel):
    """Whether what is configured is in force."""

    status: Literal["ok", "not-adopted"] = Field(
        description="`not-adopted`: the latest configuration can't be used, and the one before it is in force."
    )
    problems: list[str] = Field(description="What is wrong with it, 100 at most.")

    @classmethod
    def of(cls, problems: Sequence[str]) -> "GatewayHealth":
        """From the use-case's."""
        return cls(status="not-adopted" if problems else "ok", problems=list(problems[:MAX_PROBLEMS]))


class MeOut(BaseModel):
    """Who asks."""

    principal: str = Field(examples=["github:repo:acme/shop:ref:refs/heads/main"])
    kind: Literal["workload", "human"]
    issuer: str = Field(description="Name in the configuration.", examples=["github"])
    subject: str
    groups: list[str] = Field(examples=[["repo/acme/shop"]])
    proof: str = Field(
        description="What was shown: `access-token` of this gateway's, `service-account-key`, or the issuer's type.",
        examples=["oidc"],
    )
    client: str | None = Field(description="Client that an access token was issued to.", examples=["ostiary-cli"])
    expires_at: datetime | None = Field(description="The end of the proof.")
    session_until: datetime | None = Field(description="The end of a session that it opens.")
    may: list[str] = Field(description="What policy permits on the gateway itself.", examples=[["view", "audit"]])

    @classmethod
    def of(cls, me: Me) -> "MeOut":
        """From the use-case's."""
        who = me.principal
        return cls(
            principal=who.id,
            kind=who.kind.value,
            issuer=who.issuer,
            subject=who.subject,
            groups=sorted(who.groups),
            proof=me.proof,
            client=who.claims.get("client_id") if TOKEN_CLAIM in who.claims else None,
            expires_at=moment_of(who.expires_at),
            session_until=moment_of(who.session_until),
            may=list(me.may),
        )
