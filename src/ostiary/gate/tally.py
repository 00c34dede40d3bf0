"""What the gate counts of a target: plain numbers, so that a statement pays an addition and nothing else."""

from collections.abc import Iterator
from typing import Final

from ostiary.core import RefusalKind, Target

#: Targets that are counted apart; those of later ones go under one name.
MAX_TARGETS: Final = 1000
_OTHER: Final = ("other", "other")


class Tally:
    """Since the process began. Bytes are of the protocol, without TLS."""

    __slots__ = (
        "allowed",
        "held",
        "masked_columns",
        "opened",
        "refused_sessions",
        "refused_statements",
        "rows",
        "to_client",
        "to_target",
    )

    def __init__(self) -> None:
        self.opened = 0
        #: Statements: permitted, put to people; those that were approved are in both.
        self.allowed = 0
        self.held = 0
        self.rows = 0
        #: Columns of results in which at least one value was masked.
        self.masked_columns = 0
        self.to_target = 0
        self.to_client = 0
        self.refused_sessions: dict[RefusalKind, int] = {}
        self.refused_statements: dict[RefusalKind, int] = {}

    def refuse_session(self, kind: RefusalKind) -> None:
        """A session was not opened."""
        self.refused_sessions[kind] = self.refused_sessions.get(kind, 0) + 1

    def refuse_statement(self, kind: RefusalKind) -> None:
        """A statement did not run."""
        self.refused_statements[kind] = self.refused_statements.get(kind, 0) + 1


class Tallies:
    """By name and protocol of the target; ("", "") is where none was found."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Tally] = {}

    def of(self, target: Target | None) -> Tally:
        """This target's."""
        key = (target.name, target.protocol) if target is not None else ("", "")
        if key not in self._found and len(self._found) >= MAX_TARGETS:
            key = _OTHER
        return self._found.setdefault(key, Tally())

    def __iter__(self) -> Iterator[tuple[str, str, Tally]]:
        """Target, protocol, numbers."""
        return iter([(target, protocol, tally) for (target, protocol), tally in self._found.items()])
