"""What a statement does, by parsing it. One analyzer a dialect; PostgreSQL is `analyze`."""

from ostiary.sql.analyze import analyze
from ostiary.sql.copy_statement import CopyOptions, CopyStatement
from ostiary.sql.direct import Place, direct
from ostiary.sql.lineage import Columns, Query, trace
from ostiary.sql.memo import Memo
from ostiary.sql.model import (
    Analysis,
    CloseCursor,
    Deallocate,
    DeclareCursor,
    Execute,
    FetchCursor,
    Name,
    Prepare,
    SessionEffect,
    Setting,
    Statement,
    Touch,
    UnparsableError,
)
from ostiary.sql.template import template

__all__ = [
    "Analysis",
    "CloseCursor",
    "Columns",
    "CopyOptions",
    "CopyStatement",
    "Deallocate",
    "DeclareCursor",
    "Execute",
    "FetchCursor",
    "Memo",
    "Name",
    "Place",
    "Prepare",
    "Query",
    "SessionEffect",
    "Setting",
    "Statement",
    "Touch",
    "UnparsableError",
    "analyze",
    "direct",
    "template",
    "trace",
]
