"""What the rest of the project sees of the configuration file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ostiary.approvals import ApprovalGroup
from ostiary.core import Secret, Target
from ostiary.credentials import PostgresRoleCredential, SecretSource, StaticCredential
from ostiary.export.config import AnySink
from ostiary.identity import AnyIssuer
from ostiary.masking import MaskingConfig
from ostiary.resources import Declared, Key
from ostiary.runtime.logs import Logging
from ostiary.signin.logins import Login


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """The listener's certificate. Both None: one for loopback is made and kept beside the recording key."""

    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything, typed. Paths are absolute."""

    #: The file itself.
    path: Path
    url: str
    #: URL of the state store; it may hold a password.
    state: Secret | SecretSource
    recordings: Path
    recording_key: Path
    fsync: Literal["never", "close", "always"]
    node: str
    tls: ListenerTls | None
    plaintext_loopback: bool
    #: Seconds that an access token of the gateway's own lives.
    token_lifetime: float
    #: Seconds that a person's login lasts at most.
    login_lifetime: float
    #: protocol → (host, port)
    listen: Mapping[str, tuple[str, int]]
    #: (host, port) of the API; None: there is none.
    api: tuple[str, int] | None
    #: (host, port) of the listener for scrapers, on loopback; None: there is none.
    metrics: tuple[str, int] | None
    log: Logging
    #: Where audit events go.
    export: tuple[AnySink, ...]
    #: All that are declared.
    issuers: tuple[AnyIssuer, ...]
    #: Where people sign in. Its issuer has an audience of its own, and is one of `issuers` if it does nothing else.
    logins: tuple[Login, ...]
    targets: tuple[Target, ...]
    credentials: Mapping[str, StaticCredential | PostgresRoleCredential]
    policies: Path
    #: Rules that stand in no file: `@id` → text.
    stored_policies: Mapping[str, str]
    masking_key: SecretSource | None
    approvals: Mapping[str, ApprovalGroup]
    #: What the file itself declares.
    declared: Mapping[Key, Declared] = field(repr=False)
    _masking: Callable[[Secret | None], MaskingConfig]
    #: Dotted place in the file ("targets.0.credential") → "FILE:LINE".
    _places: Mapping[str, str] = field(repr=False)

    @property
    def people(self) -> tuple[AnyIssuer, ...]:
        """Issuers as people sign in at them."""
        return tuple(login.issuer for login in self.logins)

    @property
    def trusted(self) -> tuple[AnyIssuer, ...]:
        """Issuers whose tokens are taken at the gate."""
        return tuple(issuer for issuer in self.issuers if not any(issuer is each for each in self.people))

    def masking(self) -> MaskingConfig:
        """With its key, read now. Raises SecretUnavailable, ValueError for a key that is too short."""
        key = self.masking_key.read() if self.masking_key is not None else None
        return self._masking(key)

    def state_url(self) -> str:
        """The state store's URL, read now. Raises SecretUnavailable."""
        source = self.state
        return (source if isinstance(source, Secret) else source.read()).reveal_text()

    def place(self, *steps: str | int) -> str:
        """`FILE:LINE` of a setting, or of the nearest one around it that stands in the file."""
        for end in range(len(steps), -1, -1):
            found = self._places.get(".".join(map(str, steps[:end])))
            if found is not None:
                return found
        raise KeyError(steps)
