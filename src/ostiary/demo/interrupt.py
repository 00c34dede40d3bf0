"""Ctrl-C and its kin while processes are being started: none may be forgotten between its start and its name."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _State:
    """Signals are the process's, and so is this."""

    shields = 0
    came = False


def _interrupt(number: int, frame: FrameType | None) -> None:
    """The first one interrupts; whatever comes while things are taken down changes nothing."""
    del number, frame
    if _State.came:
        return
    _State.came = True
    if not _State.shields:
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt in here, once."""
    _State.came = False
    before = [(each, signal.signal(each, _interrupt)) for each in _SIGNALS]
    try:
        yield
    finally:
        for each, handler in before:
            signal.signal(each, handler)


@contextmanager
def shielded() -> Iterator[None]:
    """What is begun in here is ended: an interrupt waits until then."""
    _State.shields += 1
    came = _State.came
    try:
        yield
    finally:
        _State.shields -= 1
    if _State.came and not came and not _State.shields:
        raise KeyboardInterrupt
