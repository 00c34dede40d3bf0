"""What a statement does, by parsing it. One analyzer a dialect; PostgreSQL is `analyze`."""

from ostiary.sql.analyze import analyze
from ostiary.sql.model import (
    Analysis,
    Copy,
    Deallocate,
    DeclareCursor,
    Execute,
    FetchCursor,
    Name,
    Other,
    Prepare,
    SessionEffect,
    Statement,
    Touch,
    UnparsableError,
)

__all__ = [
    "Analysis",
    "Copy",
    "Deallocate",
    "DeclareCursor",
    "Execute",
    "FetchCursor",
    "Name",
    "Other",
    "Prepare",
    "SessionEffect",
    "Statement",
    "Touch",
    "UnparsableError",
    "analyze",
]
