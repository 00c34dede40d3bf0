"""The file's shape, section by section.

Each section says by itself what is wrong with it, so that one that is wrong does not hide what is wrong with others.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from ostiary.approvals import ApprovalGroup
from ostiary.config.export import Sink
from ostiary.config.issuers import Issuer
from ostiary.config.values import (
    METRICS,
    PEM,
    Address,
    Hidden,
    ListenerName,
    Name,
    ProtocolName,
    Seconds,
    SecretPlace,
    Section,
    Texts,
    is_loopback,
    remote,
)
from ostiary.core import RecordingLevel, Secret, Target, TlsMode, TlsSettings
from ostiary.core.naming import lineage
from ostiary.credentials import PostgresRoleCredential, SecretSource, StaticCredential
from ostiary.masking import OF_FINDS, ClassRule, Detection, Detector, Precision, Transform
from ostiary.runtime.logs import Format, Level, Logging


class CertificatePair(Section):
    """A certificate and its key."""

    cert: str
    key: str


def _kind_of_tls(value: object) -> str:
    return "pair" if isinstance(value, (dict, CertificatePair)) else "auto"


class Reference(SecretPlace):
    """A secret that what is declared through the API may send, and where to."""

    addresses: Annotated[list[Annotated[Address, AfterValidator(remote)]], Field(min_length=1)]


class Log(Section):
    """`server.log:`."""

    level: Annotated[Level, Field(strict=False)] = Level.INFO
    format: Annotated[Format, Field(strict=False)] = Format.JSON

    def made(self) -> Logging:
        """As the process takes it."""
        return Logging(self.level, self.format)


class Server(Section):
    """`server:`."""

    url: str = ""
    state: Annotated[
        Annotated[str, Tag("url")] | Annotated[SecretPlace, Tag("secret")],
        Discriminator(lambda value: "secret" if isinstance(value, (dict, SecretPlace)) else "url"),
    ] = "sqlite:state.db"
    recordings: str = "file://recordings"
    recording_key: str = "recording.key"
    fsync: Literal["never", "close", "always"] = "close"
    node: Name = "node-1"
    tls: (
        Annotated[
            Annotated[CertificatePair, Tag("pair")] | Annotated[Literal["auto"], Tag("auto")],
            Discriminator(_kind_of_tls),
        ]
        | None
    ) = None
    plaintext_loopback: bool = False
    token_lifetime: Annotated[Seconds, Field(ge=1.0, le=3600.0)] = 600.0
    login_lifetime: Annotated[Seconds, Field(ge=60.0, le=30 * 86400.0)] = 12 * 3600.0
    masking_key: Hidden | None = None
    log: Log = Log()
    listen: Annotated[dict[ListenerName, Address], Field(min_length=1)]
    allow_references: list[Reference] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.url and (urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname):
            raise ValueError('url: write https://HOST, or "" when there is no page to point at')
        if METRICS in self.listen and not is_loopback(self.listen[METRICS][0]):
            raise ValueError(
                "listen: metrics is served without TLS and tokens, so on loopback only: write 127.0.0.1:PORT, or "
                "scrape GET /metrics of the API with a token"
            )
        if "://" in self.recordings_path():
            raise ValueError("recordings: they are kept in files here: write file://PATH")
        if isinstance(self.state, str) and self.state.partition(":")[0] not in ("sqlite", "postgresql", "postgres"):
            raise ValueError("state: write sqlite:PATH or postgresql://HOST/DATABASE")
        if isinstance(self.state, str) and not self.state.startswith("sqlite:") and _has_password(self.state):
            raise ValueError("state: a password never stands in this file: write state: {env: NAME} for the whole URL")
        if self.tls is None and not self.plaintext_loopback:
            raise ValueError(
                "tls: without it no client could send a token: write `tls: auto` or {cert: PATH, key: PATH}"
            )
        return self

    def recordings_path(self) -> str:
        """As written, without its scheme."""
        return self.recordings.removeprefix("file://")

    def state_source(self, base: Path) -> Secret | SecretSource:
        """`sqlite:PATH` is relative to the configuration, like every other path; `sqlite:///PATH` is absolute."""
        if isinstance(self.state, SecretPlace):
            return self.state.source(base)
        scheme, _, path = self.state.partition(":")
        relative = scheme == "sqlite" and not path.startswith("/")
        return Secret(f"sqlite:///{(base / path).absolute()}" if relative else self.state)


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    return parts.password is not None or "password" in parts.query


class TargetTls(Section):
    """How a target is spoken to."""

    mode: Annotated[TlsMode, Field(strict=False)] = TlsMode.VERIFY_FULL
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("a client certificate and its key go together: give `cert` and `key`")
        if self.mode is TlsMode.DISABLE and (self.ca or self.cert):
            raise ValueError("mode is disable, so its files would not be used: remove them, or choose another mode")
        return self

    def made(self, base: Path) -> TlsSettings:
        """As the runtime takes it."""
        ca, cert, key = (
            value if value is None or value.startswith(PEM) else str(base / value)
            for value in (self.ca, self.cert, self.key)
        )
        return TlsSettings(self.mode, ca, cert, key)


class Admin(Section):
    """The account that makes roles."""

    username: str
    password: Hidden | None = None


class Static(Section):
    """`type: static`."""

    type: Literal["static"]
    username: str
    password: Hidden | None = None

    def made(self, base: Path) -> StaticCredential:
        """As credentials take it."""
        return StaticCredential(self.username, self.password.source(base) if self.password else None)


class Role(Section):
    """`type: postgres-role`."""

    type: Literal["postgres-role"]
    admin: Admin
    member_of: Texts = ()
    reassign_to: str | None = None
    max_ttl: Seconds = 86400.0
    connection_limit: int = 2

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.made(Path())
        return self

    def made(self, base: Path) -> PostgresRoleCredential:
        """As credentials take it. Raises ValueError."""
        password = self.admin.password
        return PostgresRoleCredential(
            self.admin.username,
            password.source(base) if password else None,
            self.member_of,
            self.reassign_to,
            self.max_ttl,
            self.connection_limit,
        )


_OFF = "off"
_WANTED = [*(transform.value for transform in Transform if transform in OF_FINDS), _OFF]


def _transform(value: object) -> object:
    """YAML reads a bare `null` as nothing."""
    return Transform.NULL.value if value is None else value


def _wanted(value: object) -> object:
    # YAML reads a bare `off` as false.
    value = _OFF if value is False else _transform(value)
    if value not in _WANTED:
        raise ValueError(f"must be one of {', '.join(_WANTED)}")
    return value


Detectors = dict[
    Annotated[Detector, Field(strict=False)],
    Annotated[str, BeforeValidator(_wanted), WithJsonSchema({"enum": [*_WANTED, False, None]})],
]


def detection(given: Mapping[Detector, str] | None) -> Detection:
    """The detectors that run when these settings are laid over the usual ones."""
    transforms = {**Detection().transforms, **(given or {})}
    return Detection({name: Transform(wanted) for name, wanted in transforms.items() if wanted != _OFF})


class TargetSection(Section):
    """One of `targets:`."""

    name: Name
    protocol: ProtocolName
    address: Annotated[Address, AfterValidator(remote)]
    database: str | None = None
    databases: Texts = ()
    tls: TargetTls = TargetTls()
    labels: dict[str, str] = Field(default_factory=dict)
    recording: Annotated[RecordingLevel, Field(strict=False)] = RecordingLevel.SAMPLE
    credential: Annotated[Static | Role, Field(discriminator="type")]
    detectors: Detectors | None = None

    def made(self, base: Path) -> Target:
        """As everything else takes it."""
        host, port = self.address
        tls = self.tls.made(base)
        database = self.database or self.name
        return Target(self.name, self.protocol, host, port, database, self.labels, tls, self.recording, self.databases)


class ClassifiedObject(Section):
    """One of `classification:`."""

    target: str
    object: str
    class_: Annotated[str, Field(alias="class", min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            lineage(self.object)
        except ValueError as error:
            raise ValueError(f"object: {error}") from None
        return self


class Rule(Section):
    """One of `masking:`."""

    transform: Annotated[Transform, Field(strict=False), BeforeValidator(_transform)]
    text_only: bool = False
    days: int = 30
    to: Annotated[Precision, Field(strict=False)] = Precision.YEAR
    step: int | None = None
    first: int | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.made()
        return self

    def made(self) -> ClassRule:
        """As masking takes it. Raises ValueError."""
        return ClassRule(self.transform, self.text_only, self.days, self.to, self.step, self.first)


class Member(Section):
    """One of an approval group's `members:`."""

    group: str | None = None
    principal: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.group is None) == (self.principal is None):
            raise ValueError("name a member as {group: NAME} or {principal: issuer:subject}")
        if self.principal is not None and not all(self.principal.partition(":")):
            raise ValueError("a principal is written issuer:subject")
        return self


class Approval(Section):
    """One of `approvals:`."""

    members: list[Member]
    required: int = 1
    timeout: Seconds = 600.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.made()
        return self

    def made(self) -> ApprovalGroup:
        """As approvals take it. Raises ValueError."""
        return ApprovalGroup(
            frozenset(member.group for member in self.members if member.group is not None),
            frozenset(member.principal for member in self.members if member.principal is not None),
            self.required,
            self.timeout,
        )


class File(Section):
    """The whole."""

    server: Server
    issuers: Annotated[list[Issuer], Field(min_length=1)]
    targets: list[TargetSection] = Field(default_factory=list)
    policies: str
    classification: list[ClassifiedObject] = Field(default_factory=list)
    masking: dict[str, Rule] = Field(default_factory=dict)
    detectors: Detectors | None = None
    approvals: dict[str, Approval] = Field(default_factory=dict)
    export: list[Sink] = Field(default_factory=list)
