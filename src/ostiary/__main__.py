"""`python -m ostiary`, and the `ostiary` command: the CLI with what only the composition root can do."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine
from importlib import import_module
from pathlib import Path

import structlog

from ostiary import __version__, app, config
from ostiary.cli import Hooks, build
from ostiary.control import Operations, starter
from ostiary.runtime import logs, process


def _operations(path: Path) -> Operations:
    return app.operations_of(config.load(path))


def _check(path: Path) -> list[str]:
    try:
        settings = config.load(path)
    except config.ConfigError as error:
        return list(error.problems)
    return app.problems_of(settings)


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
    log = structlog.get_logger()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # From before the first socket: a signal while it starts is no other than one a moment later.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gateway = await app.start(config.load(path))
    loop.add_signal_handler(signal.SIGHUP, gateway.reload)
    log.info("serving", version=__version__, open_files=files, **gateway.ports)
    await stop.wait()
    log.info("stopping: sessions end, credentials are taken back")
    await gateway.stop()
    log.info("stopped")


def _demo(once: bool, as_json: bool) -> int:
    from ostiary.demo import main as show

    return show(once=once, as_json=as_json)


def main() -> None:
    """Entry point."""
    # Until `serve` says otherwise only what is wrong is told, and never on standard output.
    logs.configure(logging.WARNING)
    hooks = Hooks(_operations, _check, _serve, starter.write, _demo, config.schema, __version__)
    build(hooks)(prog_name="ostiary")


if __name__ == "__main__":
    main()
