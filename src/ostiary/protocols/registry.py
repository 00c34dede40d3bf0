"""Every protocol there is, an entry each: the configuration takes its names from here, app who speaks it.

A name is known without importing its folder: a command that only reads a configuration must not wait for a parser.
"""

from collections.abc import Callable, Mapping
from typing import Final

from ostiary.wire.contract import Spoken


def _postgres() -> Spoken:
    from ostiary.protocols.postgres import spoken

    return spoken


PROTOCOLS: Final[Mapping[str, Callable[[], Spoken]]] = {"postgres": _postgres}
