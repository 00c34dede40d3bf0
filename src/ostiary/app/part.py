"""What a process does of what a gateway does: all of it, or, where there are workers, its part."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ostiary.config import Settings


@dataclass(frozen=True, slots=True)
class Part:
    """As it stands: everything, in this process.

    Beside workers there is the process that began them: it has the API, metrics and export, and serves no protocol.
    """

    #: 1 to 64 of a worker; 0: it is none.
    worker: int = 0
    #: Protocol → (host, port), in place of those configured.
    listen: Mapping[str, tuple[str, int]] | None = None
    #: Directory of the gateway's own that its processes share: the workers' sockets, and what they count.
    shared: Path | None = None
    #: Every worker serves.
    complete: Callable[[], bool] = lambda: True

    def of(self, settings: Settings) -> Settings:
        """The settings as they are for this process."""
        if not self.worker:
            return settings
        return replace(settings, node=node_of(settings.node, self.worker), api=None, metrics=None)


WHOLE: Final = Part()


def node_of(node: str, worker: int) -> str:
    """A worker's name, the same whenever it is started again."""
    return f"{node}.w{worker}"
