"""The options by which a command beside a program is told which token it takes, and to which gateway it goes."""

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

import typer

from ostiary.cli.output import Exit, fail
from ostiary.client import settings
from ostiary.client.settings import Told
from ostiary.client.sources import Kind

T = TypeVar("T")
_Text = str | None
#: Of a token.
WHICH: Final[Mapping[str, Any]] = {
    "audience": Annotated[_Text, typer.Option(envvar="OSTIARY_AUDIENCE", help="Whom the token is for (ostiary).")],
    "issuer": Annotated[_Text, typer.Option(envvar="OSTIARY_ISSUER", help="Only a token of this issuer (`iss`).")],
    "source": Annotated[Kind | None, typer.Option(envvar="OSTIARY_TOKEN_SOURCE", help="Ask only this source.")],
    "token_file": Annotated[_Text, typer.Option(help="Read the token from this file, and only from there.")],
    "variable": Annotated[_Text, typer.Option(help="Read the token from this variable, and only from there.")],
}
#: Of a gateway, and those of a token.
WHERE: Final[Mapping[str, Any]] = {
    "gateway": Annotated[_Text, typer.Option(envvar="OSTIARY_GATEWAY", help="HOST:PORT (that of your login).")],
    "ca": Annotated[
        _Text, typer.Option(envvar="OSTIARY_CA", help="PEM file of the authorities that may sign its certificate.")
    ],
    "server_name": Annotated[
        _Text, typer.Option(envvar="OSTIARY_SERVER_NAME", help="The name on its certificate, if not HOST.")
    ],
    **WHICH,
}


def telling(options: Mapping[str, Any]) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Of a command: its parameter `told` stands for these options, laid over the client's file."""

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        own = [each for name, each in inspect.signature(command).parameters.items() if name != "told"]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in options.items()
        ]
        named = [*(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *more]

        def wrapped(**given: Any) -> T:
            try:
                told = Told(**{name: given.pop(name) for name in options}).over(settings.load(os.environ))
            except ValueError as error:
                fail(str(error), code=Exit.USAGE)
            return command(told=told, **given)

        functools.update_wrapper(wrapped, command, ("__name__", "__doc__"))
        del wrapped.__wrapped__  # type: ignore[attr-defined]
        wrapped.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {each.name: each.annotation for each in named}
        return wrapped

    return decorate
