"""What a server says a statement did: permissions and functions of its plans, rows it wrote, settings it changed."""

import re
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.errors import Diagnostic

#: debug_print_plan: each entry of the range table (15) or of permInfos (18).
_PERMISSIONS: Final = re.compile(r":relid (\d+)(?:(?!:relid ).)*?:requiredPerms (\d+)", re.DOTALL)
#: The functions of calls, aggregates, windows and operators.
_FUNCTIONS: Final = re.compile(r":(?:funcid|aggfnoid|winfnoid|opfuncid) (\d+)")
#: Access control bits of the server's acl.h.
_BITS: Final = {1: "insert", 2: "read", 4: "update", 8: "delete"}
_RELATIONS: Final = """
SELECT c.oid::int, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%s) AND c.relpersistence <> 't'
"""
_CALLED: Final = """
SELECT n.nspname, p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = ANY (%s)
"""
_WRITTEN: Final = """
SELECT s.schemaname, s.relname, s.n_tup_ins, s.n_tup_upd, s.n_tup_del
FROM pg_stat_xact_all_tables s JOIN pg_class c ON c.oid = s.relid
WHERE s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0 AND c.relpersistence <> 't' AND s.schemaname <> 'pg_toast'
"""
_SETTINGS: Final = "SELECT name, setting FROM pg_settings WHERE name NOT LIKE 'debug_print%' AND name !~ 'min_messages'"
_PRINT: Final = (
    "SET LOCAL debug_print_rewritten = on; SET LOCAL debug_print_plan = on; SET LOCAL client_min_messages = log"
)
_QUIET: Final = "RESET debug_print_rewritten; RESET debug_print_plan; RESET client_min_messages"


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one statement, by schema and name."""

    #: Schema, relation, kind of access that the server asked a privilege for.
    permissions: frozenset[tuple[str, str, str]]
    functions: frozenset[tuple[str, str]]
    #: Schema, table, what was done to its rows.
    written: frozenset[tuple[str, str, str]]
    settings: bool


class Server:
    """One connection, of a superuser, that statements are tried on."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._printed: list[str] = []
        connection.add_notice_handler(self._notice)

    def _notice(self, diagnostic: Diagnostic) -> None:
        self._printed.append(diagnostic.message_detail or "")

    def run(self, text: str) -> Seen | None:
        """Run in a transaction that is rolled back; None when the server refuses it."""
        run = self._connection.execute
        run("SELECT pg_stat_force_next_flush()")
        run("BEGIN")
        try:
            before = set(run(_SETTINGS).fetchall())
            run(_PRINT)
            self._printed.clear()
            run(text.encode())
            printed = "".join(self._printed)
            run(_QUIET)
            wanted = {(int(oid), int(bits)) for oid, bits in _PERMISSIONS.findall(printed)}
            names = {oid: (s, r) for oid, s, r in run(_RELATIONS, [[oid for oid, _ in wanted]]).fetchall()}
            called = run(_CALLED, [list({int(oid) for oid in _FUNCTIONS.findall(printed)})]).fetchall()
            written = run(_WRITTEN).fetchall()
            return Seen(
                frozenset(
                    (*names[oid], kind)
                    for oid, bits in wanted
                    if oid in names
                    for bit, kind in _BITS.items()
                    if bits & bit
                ),
                frozenset((schema, name) for schema, name in called),
                frozenset(
                    (s, r, kind)
                    for s, r, *counts in written
                    for count, kind in zip(counts, ("insert", "update", "delete"), strict=True)
                    if count
                ),
                set(run(_SETTINGS).fetchall()) != before,
            )
        except psycopg.Error:
            return None
        finally:
            run("ROLLBACK")
