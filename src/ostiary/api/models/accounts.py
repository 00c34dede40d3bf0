"""Service accounts and their keys. A secret is in the answer that made it, and in no other."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from ostiary.accounts import AccountKey, ServiceAccount
from ostiary.api.models.base import Given, moment_of
from ostiary.control import NewKey

_Text = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_Texts = Annotated[list[_Text], Field(max_length=64)]
Expires = Annotated[AwareDatetime | None, Field(strict=False, examples=["2031-01-01T00:00:00Z"])]
PublicKey = Annotated[str | None, Field(description="PEM, or a JWK as text; without one a secret is made.")]


class AccountKeyOut(BaseModel):
    """A key; nothing that proves it."""

    key_id: str = Field(examples=["5f2c0a1b9d3e4f60"])
    kind: Literal["secret", "public-key"]
    created: datetime | None
    expires: datetime | None
    last_used: datetime | None = Field(description="To the minute.")

    @classmethod
    def of(cls, key: AccountKey) -> "AccountKeyOut":
        """From the room's."""
        return cls(
            key_id=key.key_id,
            kind=key.kind.value,
            created=moment_of(key.created_at),
            expires=moment_of(key.expires_at),
            last_used=moment_of(key.last_used_at),
        )


class AccountOut(BaseModel):
    """A service account."""

    name: str = Field(examples=["billing"])
    owner: str = Field(examples=["team/billing"])
    groups: list[str] = Field(examples=[["app"]])
    targets: list[str] = Field(description="Those it may be used for; empty: all that policy permits.")
    networks: list[str] = Field(description="Those it may come from; empty: any.", examples=[["10.1.0.0/16"]])
    created: datetime | None
    expires: datetime | None
    disabled: datetime | None
    revision: int
    keys: list[AccountKeyOut]

    @classmethod
    def of(cls, account: ServiceAccount) -> "AccountOut":
        """From the room's."""
        return cls(
            name=account.name,
            owner=account.owner,
            groups=list(account.groups),
            targets=list(account.targets),
            networks=list(account.networks),
            created=moment_of(account.created_at),
            expires=moment_of(account.expires_at),
            disabled=moment_of(account.disabled_at),
            revision=account.revision,
            keys=[AccountKeyOut.of(key) for key in account.keys],
        )


class KeyMadeOut(BaseModel):
    """A key that was made. `secret` is shown this once: null for a public key, and in an answer that is repeated."""

    account: AccountOut
    key_id: str
    secret: str | None = None

    @classmethod
    def of(cls, made: NewKey) -> "KeyMadeOut":
        """Without its secret."""
        return cls(account=AccountOut.of(made.account), key_id=made.key.key_id)


class AccountGiven(Given):
    """A service account to make, with its first key."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", examples=["billing"])]
    owner: Annotated[_Text, Field(description="Who answers for it.", examples=["team/billing"])]
    groups: _Texts = Field(default_factory=list)
    targets: _Texts = Field(default_factory=list)
    networks: _Texts = Field(default_factory=list)
    expires: Expires = None
    public_key: PublicKey = None


class AccountPatch(Given):
    """What is to change (RFC 7396); null takes away."""

    owner: _Text = ""
    groups: _Texts | None = None
    targets: _Texts | None = None
    networks: _Texts | None = None
    expires: Expires = None
    disabled: bool | None = None

    def wanted(self) -> dict[str, Any]:
        """Fields of the account, those that were sent."""
        found: dict[str, Any] = {
            name: tuple(getattr(self, name) or ())
            for name in ("groups", "targets", "networks")
            if name in self.model_fields_set
        }
        if "owner" in self.model_fields_set:
            found["owner"] = self.owner
        if "expires" in self.model_fields_set:
            found["expires_at"] = seconds(self.expires)
        return found


class KeyGiven(Given):
    """A key to add."""

    expires: Expires = None
    public_key: PublicKey = None


class Rotation(KeyGiven):
    """A key in place of all others."""

    overlap: Annotated[float, Field(ge=0, le=365 * 86_400, description="Seconds that the others stay good.")] = 86_400.0


def seconds(at: datetime | None) -> float | None:
    """Unix seconds."""
    return None if at is None else at.timestamp()
