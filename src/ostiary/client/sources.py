"""Where a program's ambient identity may be: one small function a source, asked in order.

A source either has a token, is not there (`Absent`: the next one is asked), or is there and has none (`Unusable`: the
search ends, because a job whose own identity fails must not go on as the machine that it runs on).
"""

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from ostiary.client import token as tokens
from ostiary.client.requests import SECONDS, RequestFailed, get
from ostiary.client.saved import NoLogin, SavedLogins, directory_of
from ostiary.client.token import Token, misfit
from ostiary.core import Secret, printable

DEFAULT_AUDIENCE: Final = "ostiary"
#: Where docs/clients.md has a projected token mounted; then where Kubernetes mounts that of its API server, which only
#: serves where the cluster's own audience is the one that is asked for.
KUBERNETES_FILES: Final = (
    "/var/run/secrets/ostiary/token",
    "/var/run/secrets/kubernetes.io/serviceaccount/token",
)
_DMI: Final = "/sys/class/dmi/id"
#: What Azure writes on every virtual machine's chassis.
_AZURE_CHASSIS: Final = "7783-7084-3265-9085-8269-3286-77"
#: Any of these says that somebody gave this program an AWS identity.
_AWS: Final = (
    *("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)
#: A proof is good for the gateway's `max_age`, 5 minutes unless configured; a new one costs next to nothing.
_AWS_SECONDS: Final = 60.0
_IMDS: Final = "http://169.254.169.254"


class Kind(StrEnum):
    """`--source`, in the order in which they are asked."""

    FILE = "file"
    ENV = "env"
    GITHUB = "github"
    GITLAB = "gitlab"
    KUBERNETES = "kubernetes"
    SPIFFE = "spiffe"
    GOOGLE = "google"
    AZURE = "azure"
    AWS = "aws"
    LOGIN = "login"


class Absent(Exception):  # noqa: N818 - a state
    """This source is not here; the text says what was looked for, as a clause."""


class Unusable(Exception):  # noqa: N818 - a state
    """This source is here, and has no token for us; the text says why, as a clause, `hint` what to do."""

    def __init__(self, message: str, hint: str = "mend that, or name another source with --source") -> None:
        super().__init__(message)
        self.hint = hint


class NoIdentity(Exception):  # noqa: N818 - a state
    """There is no token. `looked` has a line for each source that was asked."""

    def __init__(self, message: str, hint: str, looked: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.looked = looked


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which token.

    Attributes:
        audience: that the token must be for; asked for where a source takes one.
        issuer: that the token must be of; None takes any.
        source: the only source to ask; None asks all.
        file: of the source `file`.
        variable: of the source `env`.
        gateway: `HOST:PORT` that it will be sent to; None: it is only asked for.
    """

    audience: str
    issuer: str | None = None
    source: Kind | None = None
    file: str | None = None
    variable: str = "OSTIARY_TOKEN"
    gateway: str | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What sources look at.

    Attributes:
        environment: variables.
        clock: Unix seconds.
        root: what paths of the system stand under; "/" but in tests.
        imds: of Azure.
    """

    environment: Mapping[str, str]
    clock: Callable[[], float]
    root: Path = Path("/")
    imds: str = _IMDS

    def path(self, absolute: str) -> Path:
        """A path of the system."""
        return self.root / absolute.lstrip("/")

    def marked(self, name: str, text: str) -> bool:
        """Does the machine's firmware say this of itself?"""
        try:
            return text in self.path(f"{_DMI}/{name}").read_text("utf-8", "replace")
        except OSError:
            return False


_Source = Callable[[Wanted, Surroundings], Awaitable[Token]]


async def find(wanted: Wanted, here: Surroundings) -> Token:
    """The first source's token that is the one wanted. Raises NoIdentity."""
    looked: list[str] = []
    for kind in Kind if wanted.source is None else (wanted.source,):
        try:
            found = await _SOURCES[kind](wanted, here)
            # A login's token is for the gateway that gave it, and goes to no other.
            audience = None if kind is Kind.LOGIN else wanted.audience
            why = misfit(found, wanted.issuer, audience, here.clock())
            if why is None:
                return found
            # Another issuer's is none of ours: the search goes on. The right one's, of no use, ends it.
            if wanted.issuer is not None and found.issuer != wanted.issuer:
                raise Absent(f"the token of {found.source}: {why}")
            raise Unusable(f"the token of {found.source} can't be used: {why}")
        except Absent as why_not:
            looked.append(f"{kind}: {why_not}")
        except Unusable as problem:
            raise NoIdentity(f"{kind}: {problem}", problem.hint, tuple(looked)) from None
    raise NoIdentity(
        "no ambient identity was found",
        "log in with `ostiary login URL`, run it where there is one, or put a token into OSTIARY_TOKEN or a file that "
        "OSTIARY_TOKEN_FILE names",
        tuple(looked),
    )


async def _file(wanted: Wanted, here: Surroundings) -> Token:
    name = wanted.file or here.environment.get("OSTIARY_TOKEN_FILE")
    if not name:
        raise Absent("OSTIARY_TOKEN_FILE is not set")
    return _read_file(Path(name), f"the file {name}", Unusable)


async def _env(wanted: Wanted, here: Surroundings) -> Token:
    value = here.environment.get(wanted.variable)
    if not value:
        raise Absent(f"{wanted.variable} is not set")
    return _token(Secret(value), f"the variable {wanted.variable}")


async def _github(wanted: Wanted, here: Surroundings) -> Token:
    """docs.github.com, "OpenID Connect reference": the request URL with `&audience=`, the request token as bearer."""
    url, bearer = (here.environment.get(f"ACTIONS_ID_TOKEN_REQUEST_{name}") for name in ("URL", "TOKEN"))
    if not url or not bearer:
        if here.environment.get("GITHUB_ACTIONS") == "true":
            raise Unusable("this workflow may not ask for a token: give its job `permissions: {id-token: write}`")
        raise Absent("ACTIONS_ID_TOKEN_REQUEST_URL is not set")
    headers = {"Authorization": f"bearer {bearer}", "Accept": "application/json; api-version=2.0"}
    body = await _ask("GitHub's token endpoint", get(url, headers, {"audience": wanted.audience}))
    return _token(_member(body, "value", "GitHub's token endpoint"), "GitHub Actions")


async def _gitlab(wanted: Wanted, here: Surroundings) -> Token:
    """docs.gitlab.com, "ID token authentication": `id_tokens` are variables of any name, with an audience each."""
    if here.environment.get("GITLAB_CI") != "true":
        raise Absent("GITLAB_CI is not set")
    server = here.environment.get("CI_SERVER_URL")
    for name, value in sorted(here.environment.items()):
        if value.startswith("eyJ") and name != "CI_JOB_TOKEN":
            try:
                found = tokens.read(Secret(value), f"GitLab CI ({name})")
            except ValueError:
                continue
            if found.issuer == server and wanted.audience in found.audiences:
                return found
    raise Unusable(f"this job has no `id_tokens` entry with `aud: {wanted.audience}`")


async def _kubernetes(wanted: Wanted, here: Surroundings) -> Token:
    """kubernetes.io, "ServiceAccount token volume projection": a file that the kubelet keeps fresh."""
    reasons = []
    for name in KUBERNETES_FILES:
        try:
            found = _read_file(here.path(name), name, Absent)
        except Absent as why:
            reasons.append(str(why))
            continue
        unfit = misfit(found, wanted.issuer, wanted.audience, here.clock())
        if unfit is None:
            return found
        reasons.append(f"{name}: {unfit}")
    raise Absent("; ".join(reasons))


async def _spiffe(wanted: Wanted, here: Surroundings) -> Token:
    """SPIFFE Workload API, FetchJWTSVID."""
    socket = here.environment.get("SPIFFE_ENDPOINT_SOCKET")
    if not socket:
        raise Absent("SPIFFE_ENDPOINT_SOCKET is not set")
    try:
        from spiffe import WorkloadApiClient
        from spiffe.errors import PySpiffeError
    except ImportError:
        raise Unusable("asking the SPIFFE Workload API needs `pip install 'ostiary[spiffe]'`") from None

    def fetch() -> str:
        with WorkloadApiClient(socket, default_timeout=SECONDS) as client:
            return str(client.fetch_jwt_svid({wanted.audience}).token)

    try:
        svid = await asyncio.to_thread(fetch)
    except (PySpiffeError, ValueError) as error:
        raise Unusable(f"the SPIFFE Workload API gave no JWT-SVID ({type(error).__name__})") from None
    return _token(Secret(svid), "the SPIFFE Workload API")


async def _google(wanted: Wanted, here: Surroundings) -> Token:
    """cloud.google.com, "Obtain the instance identity token"."""
    host = here.environment.get("GCE_METADATA_HOST")
    at_google = host or "K_SERVICE" in here.environment or here.marked("product_name", "Google")
    if not at_google and wanted.source is not Kind.GOOGLE:
        raise Absent("this is no machine of Google's (product_name), and GCE_METADATA_HOST is not set")
    who = "Google's metadata server"
    flavour = {"Metadata-Flavor": "Google"}
    url = f"http://{host or 'metadata.google.internal'}/computeMetadata/v1/instance/service-accounts/default/identity"
    body = await _ask(who, get(url, flavour, {"audience": wanted.audience, "format": "full"}, expect=flavour))
    return _token(Secret(body), who)


async def _azure(wanted: Wanted, here: Surroundings) -> Token:
    """learn.microsoft.com, "managed identities": App Service's own endpoint, else the metadata service (IMDS)."""
    endpoint, header = here.environment.get("IDENTITY_ENDPOINT"), here.environment.get("IDENTITY_HEADER")
    chosen = {"resource": wanted.audience}
    if client := here.environment.get("AZURE_CLIENT_ID"):
        chosen["client_id"] = client
    if endpoint and header:
        who = "Azure's identity endpoint"
        asked = get(endpoint, {"X-IDENTITY-HEADER": header}, {"api-version": "2019-08-01", **chosen})
    elif wanted.source is Kind.AZURE or here.marked("chassis_asset_tag", _AZURE_CHASSIS):
        who = "Azure's metadata service"
        url = f"{here.imds}/metadata/identity/oauth2/token"
        asked = get(url, {"Metadata": "true"}, {"api-version": "2018-02-01", **chosen})
    else:
        raise Absent("this is no machine of Azure's (chassis_asset_tag), and IDENTITY_ENDPOINT is not set")
    return _token(_member(await _ask(who, asked), "access_token", who), who)


async def _aws(wanted: Wanted, here: Surroundings) -> Token:
    """docs/identity.md, "AWS": no token, but a request signed for this audience."""
    given = any(here.environment.get(name) for name in _AWS)
    if not given and wanted.source is not Kind.AWS and not here.marked("sys_vendor", "Amazon EC2"):
        raise Absent("this is no machine of Amazon's (sys_vendor), and no variable names an AWS identity")
    try:
        from ostiary.client import aws
    except ImportError:
        raise Unusable("signing for AWS needs `pip install 'ostiary[aws]'`") from None
    try:
        proof = await asyncio.to_thread(aws.sign, wanted.audience)
    except aws.NotSigned as error:
        raise Unusable(str(error)) from None
    return Token(proof, "AWS", None, (wanted.audience,), here.clock() + _AWS_SECONDS)


async def _login(wanted: Wanted, here: Surroundings) -> Token:
    """What `ostiary login` left: the current login, or the one at the gateway that the token is sent to."""
    logins = SavedLogins(directory_of(here.environment), here.clock)
    try:
        saved = logins.current() if wanted.gateway is None else logins.behind(wanted.gateway)
        if saved is None:
            where = f" at the gateway {wanted.gateway}" if wanted.gateway and logins.current() else ""
            raise Absent(f"nobody is logged in{where}")
        if wanted.audience not in (DEFAULT_AUDIENCE, saved.server.issuer):
            raise Absent(f'the login at {saved.api} is for that gateway, not for "{printable(wanted.audience[:200])}"')
        login = await asyncio.to_thread(logins.use, saved.api)
    except NoLogin as error:
        raise Unusable(str(error), error.hint) from None
    found = _token(login.access, f"the login at {login.api}")
    return found if found.expires_at is not None else replace(found, expires_at=login.access_until)


_SOURCES: Final[Mapping[Kind, _Source]] = {
    Kind.FILE: _file,
    Kind.ENV: _env,
    Kind.GITHUB: _github,
    Kind.GITLAB: _gitlab,
    Kind.KUBERNETES: _kubernetes,
    Kind.SPIFFE: _spiffe,
    Kind.GOOGLE: _google,
    Kind.AZURE: _azure,
    Kind.AWS: _aws,
    Kind.LOGIN: _login,
}


async def _ask(who: str, asked: Awaitable[bytes]) -> bytes:
    try:
        return await asked
    except RequestFailed as error:
        raise Unusable(f"{who} gave no token: {error}") from None


def _member(body: bytes, name: str, who: str) -> Secret:
    try:
        answer: Any = json.loads(body)
        value = answer[name]
    except (ValueError, LookupError, TypeError, RecursionError):
        value = None
    if not isinstance(value, str):
        raise Unusable(f"{who} gave no token: its answer has no `{name}`")
    return Secret(value)


def _read_file(path: Path, shown: str, problem: type[Absent | Unusable]) -> Token:
    try:
        # Looked at before: opening a pipe would wait for somebody to write into it.
        if not stat.S_ISREG(path.stat().st_mode):
            raise problem(f"{shown} is no file")
        with path.open("rb") as file:
            raw = Secret(file.read(tokens.MAX_TOKEN + 2))
    except OSError as error:
        raise problem(f"{shown}: {error.strerror}") from None
    return _token(raw, shown)


def _token(secret: Secret, source: str) -> Token:
    try:
        return tokens.read(secret, source)
    except ValueError as error:
        raise Unusable(f"the token of {source} can't be used: {error}") from None
