"""`python -m ostiary`, and the `ostiary` command: the CLI with what only the composition root can do.

Everything is imported by what needs it: `ostiary --help` and a shell's completion must be quick.
"""

import contextlib
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostiary import __version__
from ostiary.cli import Hooks, build

if TYPE_CHECKING:
    from ostiary.config import Pieces
    from ostiary.control import Operations


def _operations(path: Path) -> "Operations":
    _quiet()
    from ostiary import config
    from ostiary.app.operations import operations_of

    return operations_of(config.load(path))


def _check(path: Path) -> list[str]:
    _quiet()
    from ostiary import config
    from ostiary.app.check import problems_of

    try:
        settings = config.load(path)
    except config.ConfigError as error:
        return list(error.problems)
    return problems_of(settings)


def _quiet() -> None:
    """Until `serve` says otherwise only what is wrong is told, and never on standard output."""
    from ostiary.runtime import logs

    logs.configure(logs.Logging(logs.Level.WARNING))


def _serve(path: Path, workers: int, worker: int) -> None:
    import asyncio

    from ostiary.runtime import logs, process

    logs.configure()
    process.harden()
    # Under uvloop where it is installed.
    factory = None
    with contextlib.suppress(ImportError):
        factory = import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serving(path, process.raise_file_limit(), workers, worker))


async def _serving(path: Path, files: int, workers: int, worker: int) -> None:
    import asyncio

    import structlog

    from ostiary import config
    from ostiary.app.part import WHOLE, Part
    from ostiary.app.serve import start
    from ostiary.app.worker import Worker
    from ostiary.app.workers import Workers
    from ostiary.runtime import logs, process

    log = structlog.get_logger()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # From before the first socket: a signal while it starts is no other than one a moment later.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Whoever started it may have held them back.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    settings = config.load(path)
    logs.configure(settings.log)
    one = Worker(worker, stop) if worker else None
    crew = Workers(settings, workers) if workers > 1 else None
    part, ports = WHOLE, {}
    async with contextlib.AsyncExitStack() as stack:
        if one is not None:
            stack.callback(one.close)
            part = await one.part()
        elif crew is not None:
            stack.callback(crew.close)
            part = Part(listen={}, shared=crew.shared, complete=crew.complete)
        gateway = await start(settings, part)
        stack.push_async_callback(gateway.stop)
        if crew is not None:
            # Before the gateway: the end of what they record is exported too.
            stack.push_async_callback(crew.stop)
            ports = dict(await crew.start())
        process.settle()

        def reload() -> None:
            gateway.reload()
            if crew is not None:
                crew.reload()

        loop.add_signal_handler(signal.SIGHUP, reload)
        if one is not None:
            log.info("worker serves", open_files=files)
            one.serves()
        else:
            more = {} if crew is None else {"workers": workers}
            log.info("serving", version=__version__, open_files=files, **more, **ports, **gateway.ports)
        if gateway.setup_link is not None:
            # Past the log, which others keep and read.
            sys.stderr.write(f"set up the local administrator, within an hour: {gateway.setup_link.reveal_text()}\n")
        await stop.wait()
        log.info("stopping: sessions end, credentials are taken back")
    log.info("stopped")


def _schema() -> dict[str, Any]:
    from ostiary import config

    return config.schema()


def _pieces(path: Path) -> "Pieces":
    from ostiary import config

    return config.pieces(path)


def _init(directory: Path) -> list[Path]:
    from ostiary.control import starter

    return starter.write(directory)


def _demo(once: bool, as_json: bool) -> int:
    _quiet()
    from ostiary.demo import main as show

    return show(once=once, as_json=as_json)


def main() -> None:
    """Entry point."""
    hooks = Hooks(_operations, _check, _serve, _init, _demo, _schema, _pieces, __version__)
    try:
        build(hooks)(prog_name="ostiary")
    except Exception as error:
        if os.environ.get("OSTIARY_TRACEBACK"):
            raise
        # Not the error's text: it may quote what it choked on.
        import traceback

        *_, last = traceback.extract_tb(error.__traceback__)
        sys.stderr.write(
            f"error: ostiary failed inside: {type(error).__name__} at {last.filename}:{last.lineno}\n"
            "next:  run it again with OSTIARY_TRACEBACK=1, and report what it prints\n"
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
