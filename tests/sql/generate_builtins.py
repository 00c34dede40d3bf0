"""Writes the list of computing built-ins from the servers' own pg_proc: `python -m tests.sql.generate_builtins`.

A name computes when every overload of it on every server is immutable or stable and it is under no other heading.
Volatile ones, and those that do more than compute, are listed by hand in the same file, which keeps them.
"""

from pathlib import Path

from ostiary.sql.builtins import BUILTINS, Category
from tests.real.servers import PostgresServer, postgres_15, postgres_18

FILE = Path(__file__).parents[2] / "src" / "ostiary" / "sql" / "builtins.txt"

#: Stable by declaration, but they show what other sessions run, or are the server's own machinery.
NOT_COMPUTING = ("pg_stat_get_", "binary_upgrade_", "RI_FKey_", "pg_cursor", "pg_prepared_statement", "fmgr_")

HEAD = """\
# What PostgreSQL's built-in functions do, one name a line under headings (ostiary.sql.builtins.Category).
# [computes] is generated from pg_proc of PostgreSQL 15 and 18 by tests/sql/generate_builtins.py; the rest is by hand.
# A name that is in no list is `execute`.
"""


def computing(server: PostgresServer) -> tuple[set[str], set[str]]:
    """Names of pg_catalog all of whose overloads are immutable or stable, and the other names."""
    rows = server.run(
        "SELECT proname, bool_or(provolatile = 'v') FROM pg_proc"
        " WHERE pronamespace = 'pg_catalog'::regnamespace GROUP BY 1"
    )
    return {name for name, volatile in rows if not volatile}, {name for name, volatile in rows if volatile}


def generated(*servers: PostgresServer) -> set[str]:
    """What [computes] should hold."""
    steady: set[str] = set()
    volatile: set[str] = set()
    for server in servers:
        some, others = computing(server)
        steady |= some
        volatile |= others
    by_hand = {name for name, category in BUILTINS.items() if category is not Category.COMPUTES}
    return {name for name in steady - volatile - by_hand if not name.startswith(NOT_COMPUTING)}


def main() -> None:
    """Rewrite the file."""
    with postgres_15() as old, postgres_18() as new:
        names = generated(old, new)
    parts = [HEAD]
    for category in Category:
        kept = names if category is Category.COMPUTES else {n for n, c in BUILTINS.items() if c is category}
        parts.append("\n".join([f"[{category}]", *sorted(kept)]) + "\n")
    FILE.write_text("\n".join(parts), "ascii")


if __name__ == "__main__":
    main()
