"""Where a command finds what it is asked about: in the files of a configuration, or through a gateway's API.

Whoever names one of the two gets it, the nearer word first: `-c`, `--api`, OSTIARY_API, OSTIARY_CONFIG, ./ostiary.yaml;
where nothing does, the gateway that `ostiary login` left a login at.
"""

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

import typer

from ostiary.cli.common import Context, TokenFileOption, errors, read_token
from ostiary.cli.output import Exit, fail
from ostiary.client.api import Api
from ostiary.client.saved import Login, NoLogin, SavedLogins, directory_of
from ostiary.core import Secret

if TYPE_CHECKING:
    from ostiary.control import Operations

T = TypeVar("T")
ConfigOption = Annotated[
    Path | None,
    typer.Option("-c", "--config", help="Configuration, read on this machine (OSTIARY_CONFIG, ./ostiary.yaml)."),
]
ApiOption = Annotated[str | None, typer.Option("--api", help="A gateway's API, https://HOST:PORT (OSTIARY_API).")]
CaOption = Annotated[
    Path | None, typer.Option("--ca", envvar="OSTIARY_CA", help="The API's authority; default: the system's.")
]
_OPTIONS: Final[Mapping[str, Any]] = {
    "config": ConfigOption,
    "api": ApiOption,
    "ca": CaOption,
    "token_file": TokenFileOption,
}


class Reach:
    """One command's way, chosen by its options and the environment."""

    def __init__(
        self,
        context: Context,
        *,
        config: Path | None = None,
        api: str | None = None,
        ca: Path | None = None,
        token_file: Path | None = None,
        local: bool = True,
    ) -> None:
        """`local`: files of a configuration will do."""
        self._context = context
        self._ca = ca
        self._token_file = token_file
        self._config: Path | None = None
        self._api = ""
        self._exit = ExitStack()
        if config is not None:
            self._config = config
        elif named := api or os.environ.get("OSTIARY_API"):
            self._api = named
        elif local and (found := os.environ.get("OSTIARY_CONFIG")):
            self._config = Path(found)
        elif not (local and Path("ostiary.yaml").exists()) and (login := _login(None)) is not None:
            self._api = login.api

    @property
    def is_local(self) -> bool:
        """Files are read, and no gateway is asked."""
        return not self._api

    @property
    def operations(self) -> "Operations":
        """Use-cases on the files of the configuration. Ends the command where there is none."""
        return self._context.operations(self._config)

    @functools.cached_property
    def api(self) -> Api:
        """The gateway's API. Ends the command where there is no token, or no API is named."""
        if not self._api:
            self._no_api()
        self.token()
        ca = self._ca
        if ca is None and (login := _login(self._api)) is not None and login.ca is not None:
            ca = Path(login.ca)
        try:
            made = Api(self._api, self.token, ca)
        except ValueError as error:
            fail(str(error), "give --api, or set OSTIARY_API", Exit.USAGE)
        self._exit.callback(made.close)
        return made

    def close(self) -> None:
        """Close what was opened."""
        self._exit.close()

    def token(self) -> Secret:
        """The caller's token; whatever goes on for long asks for it anew each time. Ends the command without one."""
        if self.login() is None:
            return read_token(self._token_file)
        try:
            return SavedLogins(directory_of(os.environ)).use(_origin(self._api)).access
        except NoLogin as error:
            fail(str(error), error.hint, Exit.REFUSED)

    def login(self) -> Login | None:
        """The saved login whose token is the caller's; None: the token comes from elsewhere."""
        named = self._token_file is not None or os.environb.get(b"OSTIARY_TOKEN")
        return None if named or self.is_local else _login(self._api)

    def pick(self, local: "Callable[[Operations], T]", remote: Callable[[Api], T]) -> T:
        """What one of the two gives; errors of either become sentences and exit codes."""
        with errors():
            return local(self.operations) if self.is_local else remote(self.api)

    def _no_api(self) -> NoReturn:
        fail(
            "this takes a running gateway, and no API is named",
            "give --api https://HOST:PORT, set OSTIARY_API, or log in with `ostiary login`",
            Exit.USAGE,
        )


def _login(api: str | None) -> Login | None:
    """The login at this API; of None, the current one."""
    try:
        logins = SavedLogins(directory_of(os.environ))
        return logins.current() if api is None else logins.at(_origin(api))
    except NoLogin as error:
        fail(str(error), error.hint, Exit.REFUSED)


def _origin(api: str) -> str:
    return api.rstrip("/")


def reaching(context: Context, *, local: bool = True) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Of a command: its parameter `reach` stands for the options `-c`, `--api`, `--ca` and `--token-file`.

    `local`: it can be done with the files of a configuration, too; else there is no `-c`.
    """
    options = {name: kind for name, kind in _OPTIONS.items() if local or name != "config"}

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        signature = inspect.signature(command, eval_str=True)
        own = [each for name, each in signature.parameters.items() if name != "reach"]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in options.items()
        ]
        keyword = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]

        @functools.wraps(command)
        def wrapped(**given: Any) -> T:
            where = {name: given.pop(name) for name in options}
            reach = Reach(context, **where, local=local)
            try:
                return command(reach=reach, **given)
            finally:
                reach.close()

        del wrapped.__wrapped__
        wrapped.__signature__ = inspect.Signature([*keyword, *more])  # type: ignore[attr-defined]
        wrapped.__annotations__ = {each.name: each.annotation for each in [*keyword, *more]}
        return wrapped

    return decorate
