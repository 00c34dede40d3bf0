"""`python -m ostiary`, and the `ostiary` command: the CLI with what only the composition root can do."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from importlib import import_module
from pathlib import Path

import structlog

from ostiary import __version__, app, config
from ostiary.cli import Hooks, build
from ostiary.control import Operations, starter
from ostiary.runtime import logs


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
    _run(_serving(path))


def _run(work: Coroutine[object, object, None]) -> None:
    """Under uvloop where it is installed."""
    factory = None
    with contextlib.suppress(ImportError):
        factory = import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work)


async def _serving(path: Path) -> None:
    log = structlog.get_logger()
    gateway = await app.start(config.load(path))
    log.info("serving", **gateway.ports)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    log.info("stopping")
    await gateway.stop()
    log.info("stopped")


def _demo(once: bool, as_json: bool) -> int:
    from ostiary.demo import tour

    return tour.main(once=once, as_json=as_json)


def main() -> None:
    """Entry point."""
    hooks = Hooks(_operations, _check, _serve, starter.write, _demo, config.schema, __version__)
    build(hooks)()


if __name__ == "__main__":
    main()
