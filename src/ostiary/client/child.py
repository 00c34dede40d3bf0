"""A program with a way to its target in its environment, run as if it had been started alone.

It stays in this process's group, so the terminal treats both as one job: Ctrl-Z stops both and `fg` continues both,
Ctrl-C reaches both, and this process outlives it. Signals that reach this process alone are passed on.
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from ostiary.client.listening import Place
from ostiary.core import Secret

#: As a shell has it: the command was found and can't be run; it was not found.
CANNOT_RUN: Final = 126
NOT_FOUND: Final = 127
_PASSED: Final[tuple[int, ...]] = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_OF_TERMINALS: Final = frozenset({signal.SIGINT, signal.SIGQUIT})
#: What libpq would add to, or believe more than, what is set here (PostgreSQL documentation, "Environment Variables").
_CLEARED: Final = frozenset(
    f"PG{name}"
    for name in (
        *("HOSTADDR", "PASSFILE", "SERVICE", "SERVICEFILE", "OPTIONS", "REQUIREAUTH", "REQUIREPEER", "REQUIRESSL"),
        *("CHANNELBINDING", "SSLNEGOTIATION", "SSLCERT", "SSLKEY", "SSLROOTCERT", "SSLCRL", "SSLCRLDIR", "SSLSNI"),
        *("SSLCOMPRESSION", "SSLCERTMODE", "SSLMINPROTOCOLVERSION", "SSLMAXPROTOCOLVERSION", "KRBSRVNAME", "GSSLIB"),
        *("GSSDELEGATION", "TARGETSESSIONATTRS", "LOADBALANCEHOSTS"),
    )
)


class NotRun(Exception):  # noqa: N818 - a state
    """The command could not be started; the text is a sentence, `code` what a shell would end with."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def environment(
    inherited: Mapping[str, str], place: Place, target: str, password: Secret, token: str
) -> dict[str, str]:
    """The child's variables: DATABASE_URL and libpq's, and nothing of libpq's that would say otherwise.

    Args:
        inherited: what they are laid over.
        place: the child's port.
        target: what it gets there.
        password: that the port asks for.
        token: the variable that a token may be in, which the child does not need.
    """
    text = password.reveal_text()
    return {
        **{name: value for name, value in inherited.items() if name not in _CLEARED and name != token},
        "DATABASE_URL": place.url(target, f"ostiary:{text}"),
        "PGHOST": place.host,
        "PGPORT": str(place.port),
        "PGDATABASE": target,
        "PGUSER": "ostiary",
        "PGPASSWORD": text,
        "PGSSLMODE": "disable",
        "PGGSSENCMODE": "disable",
    }


async def run(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run it to its end; its exit code, 128 + N where signal N ended it. Raises NotRun."""
    child: asyncio.subprocess.Process | None = None
    waiting: list[int] = []

    def passed(number: int) -> None:
        if child is None:
            waiting.append(number)
        elif not (number in _OF_TERMINALS and _in_foreground()):
            with suppress(ProcessLookupError):
                child.send_signal(number)

    loop = asyncio.get_running_loop()
    for number in _PASSED:
        loop.add_signal_handler(number, passed, number)
    try:
        child = await asyncio.create_subprocess_exec(*command, env=variables)
    except FileNotFoundError:
        raise NotRun(f"{command[0]}: there is no such command", NOT_FOUND) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it can't be an argument of a program"
        raise NotRun(f"{command[0]}: {why}", CANNOT_RUN) from None
    for number in waiting:
        passed(number)
    code = await child.wait()
    return code if code >= 0 else 128 - code


def _in_foreground() -> bool:
    """Is this group the one that the terminal sends its signals to? Then the child has had this one already."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
