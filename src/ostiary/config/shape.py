"""The file's shape, section by section.

Each section says by itself what is wrong with it, so that one that is wrong does not hide what is wrong with others.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from ostiary.approvals import ApprovalGroup
from ostiary.core import PrincipalKind, RecordingLevel, Secret, Target, TlsMode, TlsSettings
from ostiary.core.naming import lineage
from ostiary.credentials import EnvSource, FileSource, PostgresRoleCredential, SecretSource, StaticCredential
from ostiary.identity.issuer import DEFAULT_ALGORITHMS, OidcIssuer
from ostiary.masking import ClassRule, Detection, Detector, Transform
from ostiary.protocols.registry import PROTOCOLS

_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.%a-z]{2,64}\]")


class Section(BaseModel):
    """A mapping that knows all its settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# ---------------------------------------------------------------- values


def _name(value: object) -> object:
    if isinstance(value, str) and not _NAME.fullmatch(value):
        raise ValueError('write a name of 1 to 63 letters, digits, ".", "_" and "-"')
    return value


def _protocol(value: str) -> str:
    if value not in PROTOCOLS:
        raise ValueError(f"must be {' or '.join(map(repr, PROTOCOLS))}")
    return value


def _seconds(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value.strip())
    if found is None:
        raise ValueError('write a duration as "30s", "10m", "12h" or "1d"')
    return int(found[1]) * _UNITS[found[2]]


def _address(value: object) -> object:
    host, _, port = str(value).rpartition(":")
    if not _HOST.fullmatch(host) or not port.isascii() or not port.isdecimal() or int(port[:6]) > 65535:
        # Not quoted: whoever writes user:password@host learns it without a copy of it.
        raise ValueError('write an address as "host:port", or "[::1]:port"')
    return host.strip("[]"), int(port)


def _remote(value: tuple[str, int]) -> tuple[str, int]:
    if value[1] == 0:
        raise ValueError("port 0 can't be connected to")
    return value


def _texts(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,)


def _secret(value: object) -> object:
    if not isinstance(value, dict):
        # Pydantic turns a ValueError into a problem, and lets a TypeError through.
        raise ValueError("a secret never stands in this file: write {env: NAME} or {file: PATH}")  # noqa: TRY004
    return value


def _bound(value: object) -> object:
    values = value if isinstance(value, list) else [value]
    if not values or any(type(each) not in (str, int, bool) for each in values):
        raise ValueError("write text, a whole number, true or false, or a list of these")
    return tuple(value) if isinstance(value, list) else value


Name = Annotated[str, BeforeValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"})]
ProtocolName = Annotated[str, AfterValidator(_protocol), WithJsonSchema({"type": "string", "enum": [*PROTOCOLS]})]
Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{_DURATION.pattern}$"}, {"type": "number"}]}),
]
Address = Annotated[tuple[str, int], BeforeValidator(_address), WithJsonSchema({"type": "string"})]
Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(_texts),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
_ONE = [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}]
Bound = Annotated[
    Any,
    BeforeValidator(_bound),
    WithJsonSchema({"anyOf": [*_ONE, {"type": "array", "items": {"anyOf": _ONE}, "minItems": 1}]}),
]


class SecretPlace(Section):
    """Where a secret is."""

    env: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.env is None) == (self.file is None) or not (self.env or self.file):
            raise ValueError("say where the secret is, in one place: {env: NAME} or {file: PATH}")
        return self

    def source(self, base: Path) -> SecretSource:
        """What reads it."""
        return EnvSource(self.env) if self.env is not None else FileSource(base / str(self.file))


Hidden = Annotated[SecretPlace, BeforeValidator(_secret)]


# ---------------------------------------------------------------- sections


class CertificatePair(Section):
    """A certificate and its key."""

    cert: str
    key: str


def _kind_of_tls(value: object) -> str:
    return "pair" if isinstance(value, (dict, CertificatePair)) else "auto"


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
    masking_key: Hidden | None = None
    listen: Annotated[dict[ProtocolName, Address], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.url and (urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname):
            raise ValueError('url: write https://HOST, or "" when there is no page to point at')
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


class Issuer(Section):
    """One of `issuers:`."""

    name: Name
    type: Literal["oidc"]
    issuer: str
    audience: Texts
    kind: Literal["workload", "human"] = "workload"
    jwks_uri: str | None = None
    algorithms: Texts = DEFAULT_ALGORITHMS
    azp: Texts = ()
    bind: dict[str, Bound] = {}
    groups: Texts = ()
    leeway: Seconds = 30.0
    session_grace: Seconds = 60.0
    max_session: Seconds = 43200.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.made()
        return self

    def made(self) -> OidcIssuer:
        """As identity takes it. Raises ValueError."""
        return OidcIssuer(
            name=self.name,
            issuer=self.issuer,
            audiences=self.audience,
            kind=PrincipalKind(self.kind),
            jwks_uri=self.jwks_uri,
            algorithms=self.algorithms,
            authorized_parties=self.azp,
            bind=self.bind,
            groups=self.groups,
            leeway=self.leeway,
            session_grace=self.session_grace,
            max_session=self.max_session,
        )


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
        paths = [None if value is None else str(base / value) for value in (self.ca, self.cert, self.key)]
        return TlsSettings(self.mode, *paths)


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
_WANTED = [*(transform.value for transform in Transform), _OFF]


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
    address: Annotated[Address, AfterValidator(_remote)]
    database: str | None = None
    databases: Texts = ()
    tls: TargetTls = TargetTls()
    labels: dict[str, str] = {}
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

    def made(self) -> ClassRule:
        """As masking takes it."""
        return ClassRule(self.transform, self.text_only)


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
    targets: Annotated[list[TargetSection], Field(min_length=1)]
    policies: str
    classification: list[ClassifiedObject] = []
    masking: dict[str, Rule] = {}
    detectors: Detectors | None = None
    approvals: dict[str, Approval] = {}
