"""The configuration file: read once, validated in full, frozen.

Every problem is found in one reading and points at its line. What comes out are the rooms' own types; nothing else in
the project reads YAML. Secrets never stand in the file: `{env: NAME}` and `{file: PATH}` say where they are.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ostiary.approvals import ApprovalGroup
from ostiary.core import PrincipalKind, RecordingLevel, Target, TlsMode, TlsSettings
from ostiary.credentials import EnvSource, FileSource, PostgresRoleCredential, SecretSource, StaticCredential
from ostiary.credentials.source import SecretUnavailable
from ostiary.identity.issuer import DEFAULT_ALGORITHMS, OidcIssuer
from ostiary.masking import Classification, ClassRule, Detection, Detector, MaskingConfig, Transform

MAX_FILE = 4 << 20
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"


class ConfigError(ValueError):
    """The file can't be used. `problems` are sentences, each with file and line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """The listener's certificate. `auto`: made by a local authority in `state_dir`, for loopback."""

    cert: Path | None = None
    key: Path | None = None
    auto: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything, typed."""

    url: str
    state: str
    recordings: Path
    recording_key: Path
    fsync: Literal["never", "close", "always"]
    node: str
    tls: ListenerTls | None
    plaintext_loopback: bool
    #: protocol → (host, port)
    listen: Mapping[str, tuple[str, int]]
    issuers: tuple[OidcIssuer, ...]
    targets: tuple[Target, ...]
    credentials: Mapping[str, StaticCredential | PostgresRoleCredential]
    policies: Path
    masking: MaskingConfig
    approvals: Mapping[str, ApprovalGroup]


# ---------------------------------------------------------------- the file's shape


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _seconds(value: object) -> object:
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if found is None:
            raise ValueError('write a duration as "30s", "10m", "12h" or "1d"')
        return int(found[1]) * _UNITS[found[2]]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _address(value: object) -> object:
    host, _, port = str(value).rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) < 65536:
        raise ValueError(f'"{value}" is no address: write "host:port"')
    return host.strip("[]"), int(port)


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,)


Seconds = Annotated[float, BeforeValidator(_seconds)]
Address = Annotated[tuple[str, int], BeforeValidator(_address)]
Name = Annotated[str, Field(pattern=_NAME)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_tuple)]


class _Secret(_Strict):
    env: str | None = None
    file: str | None = None

    def source(self, base: Path) -> SecretSource:
        if (self.env is None) == (self.file is None):
            raise ValueError("say where the secret is: {env: NAME} or {file: PATH}")
        return EnvSource(self.env) if self.env is not None else FileSource(base / str(self.file))


class _Pair(_Strict):
    cert: str
    key: str


class _Server(_Strict):
    url: str = ""
    state: str = "sqlite:state.db"
    recordings: str = "file://recordings"
    recording_key: str = "recording.key"
    fsync: Literal["never", "close", "always"] = "close"
    node: Name = "node-1"
    tls: _Pair | Literal["auto"] | None = None
    plaintext_loopback: bool = False
    masking_key: _Secret | None = None
    listen: dict[Literal["postgres"], Address]


class _Issuer(_Strict):
    name: Name
    type: Literal["oidc"]
    issuer: str
    audience: Texts
    kind: Literal["workload", "human"] = "workload"
    jwks_uri: str | None = None
    algorithms: Texts = DEFAULT_ALGORITHMS
    azp: Texts = ()
    bind: dict[str, str | int | bool | list[str | int | bool]] = {}
    groups: Texts = ()
    leeway: Seconds = 30.0
    session_grace: Seconds = 60.0
    max_session: Seconds = 43200.0


class _Tls(_Strict):
    mode: Annotated[TlsMode, Field(strict=False)] = TlsMode.VERIFY_FULL
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


class _Admin(_Strict):
    username: str
    password: _Secret | None = None


class _Static(_Strict):
    type: Literal["static"]
    username: str
    password: _Secret | None = None


class _Role(_Strict):
    type: Literal["postgres-role"]
    admin: _Admin
    member_of: Texts = ()
    reassign_to: str | None = None
    max_ttl: Seconds = 86400.0
    connection_limit: int = 2


class _Target(_Strict):
    name: Name
    protocol: Literal["postgres"]
    address: Address
    database: str | None = None
    tls: _Tls = _Tls()
    labels: dict[str, str] = {}
    recording: Annotated[RecordingLevel, Field(strict=False)] = RecordingLevel.SAMPLE
    credential: Annotated[_Static | _Role, Field(discriminator="type")]
    detectors: dict[str, str] | None = None


class _Classification(_Strict):
    target: str
    object: str
    class_: Annotated[str, Field(alias="class")]


class _Rule(_Strict):
    transform: Annotated[Transform, Field(strict=False)]
    text_only: bool = False


class _Member(_Strict):
    group: str | None = None
    principal: str | None = None


class _Approval(_Strict):
    members: list[_Member]
    required: int = 1
    timeout: Seconds = 600.0


class _File(_Strict):
    server: _Server
    issuers: list[_Issuer]
    targets: list[_Target]
    policies: str
    classification: list[_Classification] = []
    masking: dict[str, _Rule] = {}
    detectors: dict[str, str] | None = None
    approvals: dict[str, _Approval] = {}


def schema() -> dict[str, Any]:
    """JSON Schema of the file, for editors."""
    return _File.model_json_schema()


# ---------------------------------------------------------------- reading


def load(path: Path) -> Settings:
    """Read and validate. Relative paths in the file are relative to it. Raises ConfigError."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise ConfigError([f"{path}: larger than {MAX_FILE} bytes; this is no configuration"])
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError([f"{path}: can't be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8 text"]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise ConfigError([f"{path}:{line}: {error.problem}"]) from None
    lines = dict(_lines(root, ()))
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        raise ConfigError([_problem(path, lines, found["loc"], found["msg"]) for found in error.errors()]) from None
    return _Builder(path, lines).settings(file)


def _lines(node: yaml.Node | None, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], int]]:
    if node is None:
        return
    yield at, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*at, key.value), key.start_mark.line + 1
            if not isinstance(value, yaml.ScalarNode):
                yield from list(_lines(value, (*at, key.value)))[1:]
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*at, index))


def _problem(path: Path, lines: Mapping[tuple[str | int, ...], int], at: tuple[str | int, ...], why: str) -> str:
    """Points at the deepest place of the file that the location names; unions put words of their own into it."""
    known: tuple[str | int, ...] = ()
    for step in at:
        if (*known, step) in lines:
            known = (*known, step)
    where = ".".join(str(step) for step in known)
    missing = f"{at[-1]}: " if at and at[-1] not in known and why == "Field required" else ""
    return f"{path}:{lines.get(known, 1)}: {where}: {missing}{why.removeprefix('Value error, ')}"


class _Builder:
    """From the file's shape to the rooms' types; problems are collected, not raised one by one."""

    def __init__(self, path: Path, lines: Mapping[tuple[str | int, ...], int]) -> None:
        self._path = path
        self._base = path.resolve().parent
        self._lines = lines
        self._problems: list[str] = []

    def settings(self, file: _File) -> Settings:
        server = file.server
        recordings = server.recordings.removeprefix("file://")
        if "://" in recordings:
            self._wrong(("server", "recordings"), "recordings are kept in files here: write file://PATH")
        issuers = [found for i, each in enumerate(file.issuers) if (found := self._issuer(i, each)) is not None]
        targets = tuple(self._target(i, each) for i, each in enumerate(file.targets))
        credentials: dict[str, StaticCredential | PostgresRoleCredential] = {}
        for index, each in enumerate(file.targets):
            if each.name in credentials:
                self._wrong(("targets", index, "name"), f'another target is called "{each.name}"')
            credential = self._credential(index, each)
            if credential is not None:
                credentials[each.name] = credential
        policies = self._base / file.policies
        if not policies.exists():
            self._wrong(("policies",), f"{policies} does not exist")
        masking = self._masking(file)
        approvals = self._approvals(file)
        tls = server.tls
        listener = None
        if tls == "auto":
            listener = ListenerTls(auto=True)
        elif isinstance(tls, _Pair):
            listener = ListenerTls(self._base / tls.cert, self._base / tls.key)
        if self._problems or masking is None:
            raise ConfigError(self._problems)
        return Settings(
            url=server.url.rstrip("/"),
            state=self._state(server.state),
            recordings=self._base / recordings,
            recording_key=self._base / server.recording_key,
            fsync=server.fsync,
            node=server.node,
            tls=listener,
            plaintext_loopback=server.plaintext_loopback,
            listen={str(name): where for name, where in server.listen.items()},
            issuers=tuple(issuers),
            targets=targets,
            credentials=credentials,
            policies=policies,
            masking=masking,
            approvals=approvals,
        )

    def _wrong(self, at: tuple[str | int, ...], why: str) -> None:
        self._problems.append(_problem(self._path, self._lines, at, why))

    def _state(self, url: str) -> str:
        """`sqlite:PATH` is relative to the configuration, like every other path; `sqlite:///PATH` is absolute."""
        path = url.removeprefix("sqlite:")
        return f"sqlite:///{self._base / path}" if path != url and not path.startswith("/") else url

    def _issuer(self, index: int, each: _Issuer) -> OidcIssuer | None:
        bind = {claim: tuple(value) if isinstance(value, list) else value for claim, value in each.bind.items()}
        try:
            return OidcIssuer(
                each.name,
                each.issuer,
                each.audience,
                PrincipalKind(each.kind),
                each.jwks_uri,
                each.algorithms,
                each.azp,
                bind,
                each.groups,
                each.leeway,
                each.session_grace,
                each.max_session,
            )
        except ValueError as error:
            self._wrong(("issuers", index), str(error))
            return None

    def _target(self, index: int, each: _Target) -> Target:
        tls = each.tls
        paths = {
            name: str(self._base / value) if value else None for name, value in tls.model_dump(exclude={"mode"}).items()
        }
        for name, found in paths.items():
            if found is not None and not Path(found).exists():
                self._wrong(("targets", index, "tls", name), f"{found} does not exist")
        if tls.mode in (TlsMode.VERIFY_CA, TlsMode.VERIFY_FULL) and tls.cert and not tls.key:
            self._wrong(("targets", index, "tls"), "a client certificate needs its key")
        return Target(
            each.name,
            each.protocol,
            each.address[0],
            each.address[1],
            each.database or each.name,
            each.labels,
            TlsSettings(tls.mode, paths["ca"], paths["cert"], paths["key"]),
            each.recording,
        )

    def _credential(self, index: int, each: _Target) -> StaticCredential | PostgresRoleCredential | None:
        given = each.credential
        try:
            if isinstance(given, _Static):
                return StaticCredential(given.username, given.password.source(self._base) if given.password else None)
            password = given.admin.password
            return PostgresRoleCredential(
                given.admin.username,
                password.source(self._base) if password else None,
                given.member_of,
                given.reassign_to,
                given.max_ttl,
                given.connection_limit,
            )
        except ValueError as error:
            self._wrong(("targets", index, "credential"), str(error))
            return None

    def _masking(self, file: _File) -> MaskingConfig | None:
        names = {each.name for each in file.targets}
        for index, each in enumerate(file.classification):
            if each.target not in names:
                self._wrong(("classification", index, "target"), f'no target is called "{each.target}"')
        detection = {
            each.name: self._detection(("targets", index, "detectors"), each.detectors)
            for index, each in enumerate(file.targets)
            if each.detectors is not None
        }
        key = file.server.masking_key
        try:
            return MaskingConfig(
                tuple(Classification(e.target, e.object, e.class_) for e in file.classification),
                {name: ClassRule(rule.transform, rule.text_only) for name, rule in file.masking.items()},
                detection,
                self._detection(("detectors",), file.detectors) if file.detectors is not None else Detection(),
                key.source(self._base).read() if key is not None else None,
            )
        except (ValueError, SecretUnavailable) as error:
            self._wrong(("server", "masking_key") if key else ("masking",), str(error))
            return None

    def _detection(self, at: tuple[str | int, ...], given: Mapping[str, str]) -> Detection:
        transforms = dict(Detection().transforms)
        for name, wanted in given.items():
            try:
                detector = Detector(name)
                if wanted == "off":
                    transforms.pop(detector, None)
                else:
                    transforms[detector] = Transform(wanted)
            except ValueError as error:
                self._wrong((*at, name), str(error))
        return Detection(transforms)

    def _approvals(self, file: _File) -> dict[str, ApprovalGroup]:
        groups = {}
        for name, each in file.approvals.items():
            try:
                groups[name] = ApprovalGroup(
                    frozenset(member.group for member in each.members if member.group is not None),
                    frozenset(member.principal for member in each.members if member.principal is not None),
                    each.required,
                    each.timeout,
                )
            except ValueError as error:
                self._wrong(("approvals", name), str(error))
        return groups
