"""`python -m ostiary`, and the `ostiary` command: the CLI with what only the composition root can do.

Rooms are imported by the command that needs them: `ostiary --help` and a shell's completion must be quick.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Coroutine
from importlib import import_module
from pathlib import Path
from typing import Any

import structlog

from ostiary import __version__
from ostiary.cli import Hooks, build
from ostiary.control import Operations, starter
from ostiary.runtime import logs, process


def _operations(path: Path) -> Operations:
    from ostiary import config
    from ostiary.app.operations import operations_of

    return operations_of(config.load(path))


def _check(path: Path) -> list[str]:
    from ostiary import config
    from ostiary.app.check import problems_of

    try:
        settings = config.load(path)
    except config.ConfigError as error:
        return list(error.problems)
    return problems_of(settings)


def _serve(path: Path) -> None:
    logs.configure()
    process.harden()
    _run(_serving(path, process.raise_file_limit()))


def _run(work: Coroutine[object, object, None]) -> None:
    """Under uvloop where it is installed."""
    factory = None
    with contextlib.suppress(ImportError):
        factory = import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work)


async def _serving(path: Path, files: int) -> None:
    from ostiary import config
    from ostiary.app.serve import start

    log = structlog.get_logger()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # From before the first socket: a signal while it starts is no other than one a moment later.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Whoever started it may have held them back.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    gateway = await start(config.load(path))
    process.settle()
    loop.add_signal_handler(signal.SIGHUP, gateway.reload)
    log.info("serving", version=__version__, open_files=files, **gateway.ports)
    await stop.wait()
    log.info("stopping: sessions end, credentials are taken back")
    await gateway.stop()
    log.info("stopped")


def _schema() -> dict[str, Any]:
    from ostiary import config

    return config.schema()


def _demo(once: bool, as_json: bool) -> int:
    from ostiary.demo import main as show

    return show(once=once, as_json=as_json)


def main() -> None:
    """Entry point."""
    # Until `serve` says otherwise only what is wrong is told, and never on standard output.
    logs.configure(logging.WARNING)
    hooks = Hooks(_operations, _check, _serve, starter.write, _demo, _schema, __version__)
    try:
        build(hooks)(prog_name="ostiary")
    except Exception as error:
        if os.environ.get("OSTIARY_TRACEBACK"):
            raise
        # Not the error's text: it may quote what it choked on.
        *_, last = traceback.extract_tb(error.__traceback__)
        sys.stderr.write(
            f"error: ostiary failed inside: {type(error).__name__} at {last.filename}:{last.lineno}\n"
            "next:  run it again with OSTIARY_TRACEBACK=1, and report what it prints\n"
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
