"""What `ostiary login` leaves behind: a person's login at each gateway, renewed underneath when it is used.

One file of mode 0600 in a directory of mode 0700. A refresh token serves once, and a second use ends the login
(RFC 9700 §4.14.2), so whoever renews holds a lock between processes, and reads again once it has it.
"""

import asyncio
import fcntl
import json
import os
import secrets
import signal
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ostiary.client.oauth import CLIENT_ID, Granted, OAuthFailed, Server
from ostiary.core import Secret

_FILE: Final = "logins.json"
_LOCK: Final = "logins.lock"
_MAX_FILE: Final = 1 << 20
_MOST: Final = 32
#: An access token is renewed when no more of its life is left, in seconds; of a shorter one, half of it.
_LEFT: Final = 60.0
#: Seconds to wait for another process, which asks a gateway for 10 seconds at most.
_PATIENCE: Final = 30.0
_POLL: Final = 0.05
_CRITICAL: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class NoLogin(Exception):  # noqa: N818 - a state
    """There is no login that can be used; the text is a sentence, `hint` the next step."""

    def __init__(self, message: str, hint: str = "log in with `ostiary login URL`") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Login:
    """A person's login at one gateway.

    Attributes:
        api: the gateway's API, which is its issuer's origin: `https://HOST:PORT`.
        ca: PEM file of the authorities that may sign its certificate; None are the system's.
        gateway: `HOST:PORT` of its data path.
        principal: who is logged in, `issuer:subject`.
        server: where it is renewed and ended.
        access: the access token.
        granted_at: Unix seconds.
        access_until: Unix seconds.
        refresh: None: it can't be renewed, or has ended.
        until: Unix seconds when it ends, however often it is renewed; None: the gateway did not say.
    """

    api: str
    ca: str | None
    gateway: str
    principal: str
    server: Server
    access: Secret
    granted_at: float
    access_until: float
    refresh: Secret | None
    until: float | None = None

    def fresh(self, now: float) -> bool:
        """Is the access token good for a while?"""
        return now < self.access_until - min(_LEFT, (self.access_until - self.granted_at) / 2)

    def granted(self, tokens: Granted, now: float) -> "Login":
        """With new tokens. A server that does not rotate leaves the refresh token as it is (RFC 6749 §6)."""
        return replace(
            self,
            access=tokens.access,
            granted_at=now,
            access_until=now + tokens.seconds,
            refresh=tokens.refresh or self.refresh,
            until=self.until if tokens.login_seconds is None else now + tokens.login_seconds,
        )


def directory_of(environment: Mapping[str, str]) -> Path:
    """Where logins are kept (XDG Base Directory: a relative path counts as none)."""
    state = environment.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path(environment.get("HOME", "/")) / ".local" / "state"
    return base / "ostiary"


class SavedLogins:
    """The logins of one user.

    Every method raises NoLogin where the file or its directory is not as it was left: somebody else's, readable by
    others, a symbolic link.

    Args:
        directory: made when something is saved.
        clock: Unix seconds.
        pause: waits so many seconds.
        patience: seconds to wait for another process.
    """

    def __init__(
        self,
        directory: Path,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
        patience: float = _PATIENCE,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._pause = pause
        self._patience = patience

    def all(self) -> tuple[Login, ...]:
        """The current one first."""
        try:
            with self._opened() as directory:
                return _load(directory, self._directory / _FILE)
        except FileNotFoundError:
            return ()

    def current(self) -> Login | None:
        """The one that commands use where no gateway is named."""
        return next(iter(self.all()), None)

    def at(self, api: str) -> Login | None:
        """The one at this gateway, by its API's origin."""
        return next((login for login in self.all() if login.api == api), None)

    def behind(self, gateway: str) -> Login | None:
        """The one whose data path is at this `HOST:PORT`."""
        return next((login for login in self.all() if login.gateway == gateway), None)

    def use(self, api: str | None = None) -> Login:
        """The login at this gateway (the current one), with an access token that is good for a while.

        It is renewed where it has to be, which may take 10 seconds. While that fails for another reason than a refusal,
        the access token serves to its end. Not for a coroutine: it waits. Raises NoLogin.
        """
        login = self._found(api)
        if login.fresh(self._clock()):
            return login
        with self._locked() as directory:
            login = self._found(api)
            if login.fresh(self._clock()):
                return login
            return self._renew(directory, login)

    def save(self, login: Login) -> None:
        """Keep it as the current one. Raises OSError."""
        self._directory.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self._directory.mkdir(mode=0o700)
        with self._locked() as directory:
            self._put(directory, login)

    def end(self, api: str | None = None) -> tuple[Login | None, str]:
        """End the login at this gateway (the current one), there and here.

        The one that was ended, None where there was none, and why the gateway does not know of it ("": it does).
        Not for a coroutine: it waits. Raises OSError, NoLogin.
        """
        if (login := self.current() if api is None else self.at(api)) is None:
            return None, ""
        with self._locked() as directory:
            # Another process may have renewed it, or ended it, meanwhile.
            logins = _load(directory, self._directory / _FILE)
            latest = next((each for each in logins if each.api == login.api), None)
            if latest is None:
                return None, ""
            problem = ""
            if latest.refresh is not None:
                try:
                    asyncio.run(latest.server.revoke(latest.refresh))
                except (OAuthFailed, ValueError) as error:
                    problem = f"the gateway could not be told ({error})"
            _store(directory, [each for each in logins if each.api != latest.api])
        return latest, problem

    def _found(self, api: str | None) -> Login:
        login = self.current() if api is None else self.at(api)
        if login is None:
            where = "anywhere" if api is None else f"at {api}"
            raise NoLogin(f"nobody is logged in {where}", f"log in with `ostiary login {api or 'URL'}`")
        if login.refresh is None and login.access_until <= self._clock():
            raise NoLogin(f"the login at {login.api} has ended", f"log in again: `ostiary login {login.api}`")
        return login

    def _renew(self, directory: int, login: Login) -> Login:
        now = self._clock()
        if login.refresh is None:
            return login
        form = {
            "grant_type": "refresh_token",
            "refresh_token": login.refresh.reveal_text(),
            "client_id": CLIENT_ID,
        }
        # A signal between the answer and the file would lose the only token that goes on: it waits.
        with _undisturbed():
            try:
                login = login.granted(asyncio.run(login.server.grant(form)), now)
            except (OAuthFailed, ValueError) as error:
                code = error.code if isinstance(error, OAuthFailed) else ""
                if code == "invalid_grant":
                    self._put(directory, replace(login, refresh=None, access_until=0.0), first=False)
                    raise NoLogin(
                        f"the login at {login.api} has ended: {error}", f"log in again: `ostiary login {login.api}`"
                    ) from None
                if now < login.access_until:
                    return login
                hint = error.hint if isinstance(error, OAuthFailed) else ""
                raise NoLogin(f"the login at {login.api} could not be renewed: {error}", hint or "try again") from None
            try:
                self._put(directory, login, first=False)
            except OSError as error:
                raise NoLogin(
                    f"{self._directory / _FILE}: {error.strerror}: the renewed login could not be kept",
                    f"make room there, then log in again: `ostiary login {login.api}`",
                ) from None
        return login

    def _put(self, directory: int, login: Login, *, first: bool = True) -> None:
        others = list(_load(directory, self._directory / _FILE))
        at = 0
        for place, other in enumerate(others):
            if other.api == login.api:
                at = 0 if first else place
                del others[place]
                break
        others.insert(at, login)
        _store(directory, others[:_MOST])

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The directory, if it is ours alone. Raises FileNotFoundError, NoLogin."""
        try:
            number = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise NoLogin(*_strange(self._directory, error)) from None
        try:
            _own(self._directory, os.fstat(number))
            yield number
        finally:
            os.close(number)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        with self._opened() as directory:
            number = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
            try:
                deadline = time.monotonic() + self._patience
                while True:
                    try:
                        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except BlockingIOError:
                        if time.monotonic() > deadline:
                            raise NoLogin(
                                f"another process has held {self._directory / _LOCK} for {self._patience:.0f} seconds",
                                "look for an `ostiary` that hangs",
                            ) from None
                        self._pause(_POLL)
                yield directory
            finally:
                os.close(number)


@contextmanager
def _undisturbed() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _CRITICAL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _own(path: Path, status: os.stat_result) -> None:
    """Raises NoLogin unless it is ours and nobody else's."""
    if status.st_uid != os.geteuid():
        raise NoLogin(f"{path} belongs to another user, so its logins are not used", f"look at who made it: {path}")
    if stat.S_IMODE(status.st_mode) & 0o077:
        right = "0700" if stat.S_ISDIR(status.st_mode) else "0600"
        others = f"others can get at {path} (mode {stat.S_IMODE(status.st_mode):04o})"
        raise NoLogin(
            others, f"`chmod {right} {path}`; if somebody may have read it, `ostiary logout` and log in again"
        )


def _strange(path: Path, error: OSError) -> tuple[str, str]:
    if path.is_symlink():
        return f"{path} is a symbolic link, so its logins are not used", "put the directory itself there"
    return f"{path}: {error.strerror}", "logins are kept there"


def _load(directory: int, path: Path) -> tuple[Login, ...]:
    try:
        number = os.open(_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise NoLogin(*_strange(path, error)) from None
    with open(number, "rb") as file:  # noqa: PTH123 - a file that is open already
        status = os.fstat(number)
        _own(path, status)
        if not stat.S_ISREG(status.st_mode):
            raise NoLogin(f"{path} is no file", "remove it")
        text = file.read(_MAX_FILE + 1)
    try:
        if len(text) > _MAX_FILE:
            raise ValueError
        return tuple(map(_login, json.loads(text)["logins"]))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise NoLogin(f"{path} is not what `ostiary login` wrote", "remove it, and log in again") from None


def _login(said: Mapping[str, Any]) -> Login:
    endpoints = {str(name): str(url) for name, url in said["endpoints"].items()}
    ca = None if said["ca"] is None else str(said["ca"])
    return Login(
        api=str(said["api"]),
        ca=ca,
        gateway=str(said["gateway"]),
        principal=str(said["principal"]),
        server=Server(str(said["issuer"]), ca, endpoints),
        access=Secret(str(said["access"])),
        granted_at=float(said["granted_at"]),
        access_until=float(said["access_until"]),
        refresh=None if said["refresh"] is None else Secret(str(said["refresh"])),
        until=None if said.get("until") is None else float(said["until"]),
    )


def _store(directory: int, logins: list[Login]) -> None:
    """In place of what was there, or not at all. Raises OSError."""
    said = [
        {
            "api": login.api,
            "ca": login.ca,
            "gateway": login.gateway,
            "principal": login.principal,
            "issuer": login.server.issuer,
            "endpoints": dict(login.server.endpoints),
            "access": login.access.reveal_text(),
            "granted_at": login.granted_at,
            "access_until": login.access_until,
            "refresh": None if login.refresh is None else login.refresh.reveal_text(),
            "until": login.until,
        }
        for login in logins
    ]
    name = f".{_FILE}.{secrets.token_hex(8)}"
    number = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        with open(number, "w", encoding="ascii") as file:  # noqa: PTH123 - a file that is open already
            json.dump({"logins": said}, file)
            file.flush()
            os.fsync(number)
        os.replace(name, _FILE, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(OSError):
            os.unlink(name, dir_fd=directory)
        raise
    os.fsync(directory)
