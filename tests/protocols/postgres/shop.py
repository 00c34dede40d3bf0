"""A small shop as a catalogue, for tests that need names to mean something."""

import json

from ostiary.core import Target, naming
from ostiary.protocols.postgres.catalog import CatalogCache
from ostiary.protocols.postgres.statements import Judge
from ostiary.sql import analyze

TARGET = Target("shop", "postgres", "127.0.0.1", 5432, "shop")

#: Schema, relation, kind, columns; oids count from 20000.
RELATIONS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("public", "customers", "r", ("id", "name", "email")),
    ("public", "orders", "r", ("id", "customer_id", "amount", "note")),
    ("audit", "log", "r", ("at", "what")),
    ("public", "log", "r", ("line",)),
    ("public", "v_customers", "v", ("id", "email")),
    ("public", "v_rows", "v", ("id", "customers")),
    ("public", "v_refunds", "v", ("refund",)),
    ("public", "m_customers", "m", ("email",)),
    ("public", "events", "p", ("id", "body")),
    ("public", "events_1", "r", ("id", "body")),
    ("public", "orders_id_seq", "S", ()),
    ("public", "v_of_v", "v", ("email",)),
    ("public", "delete", "r", ("update", "select")),
    ("public", "odd.name", "r", ("a.b",)),
)
SYSTEM = ("pg_class", "pg_stats", "pg_settings", "pg_proc", "pg_stat_activity", "pg_authid")


#: Functions of the shop's own whose bodies nobody can tell.
UNSEEN: dict[str, list[list[str | None]] | None] = {
    "functions": [
        ["public", "refund", None],
        ["public", "full_name", None],
        ["app", "lower", None],
        ["app", "json_scalar", None],
    ],
    "provided": [["public", "uuid_generate_v4", "uuid-ossp"], ["public", "max", "citext"]],
    "operators": [["public", "===", "SELECT pg_catalog.int4eq()"]],
    **dict.fromkeys(("types", "keys", "event_triggers")),
}


def oid(relation: str) -> int:
    """Of the first relation of that name."""
    return 20000 + [name for _, name, _, _ in RELATIONS].index(relation)


def document(*, settled: bool = True, extra: tuple[tuple[str, str, str, tuple[str, ...]], ...] = ()) -> str:
    """What the server answers to CATALOG_QUERY."""
    relations = [*RELATIONS, *extra]
    return json.dumps(
        {
            "settled": settled,
            "relations": [[20000 + i, s, n, k] for i, (s, n, k, _) in enumerate(relations)]
            + [[1000 + i, "pg_catalog", name, "v"] for i, name in enumerate(SYSTEM)]
            + [[1100, "information_schema", "tables", "v"]],
            "columns": [
                [20000 + i, number, name, 25, "", -1]
                for i, (_, _, kind, names) in enumerate(relations)
                if kind != "S"
                for number, name in enumerate(names, 1)
            ],
            "views": [
                [oid("v_customers"), oid("customers"), 1],
                [oid("v_customers"), oid("customers"), 3],
                [oid("v_rows"), oid("customers"), 0],
                [oid("m_customers"), oid("customers"), 3],
                [oid("v_of_v"), oid("v_customers"), 2],
            ],
            "definitions": [
                [oid("v_customers"), "SELECT id, email FROM customers"],
                [oid("v_rows"), "SELECT id, customers.*::customers AS customers FROM customers"],
                [oid("m_customers"), "SELECT email FROM customers"],
                [oid("v_of_v"), "SELECT email FROM v_customers"],
                [oid("v_refunds"), "SELECT refund(1) AS refund"],
            ],
            "opaque": [oid("v_refunds")],
            "inherits": [[oid("events_1"), oid("events")]],
            "generated": [],
            "references": [
                [oid("customers"), oid("orders")],
                [oid("orders"), oid("events")],
                [oid("orders"), oid("events_1")],
            ],
            "functions": [
                ["public", "refund", True, False],
                ["public", "full_name", True, True],
                ["app", "lower", True, False],
                ["app", "json_scalar", True, False],
                ["public", "uuid_generate_v4", False, False],
                ["public", "max", False, False],
            ],
            "unseen": UNSEEN | {"hooks": [[oid("v_refunds"), 15, None, False]]},
            "operators": [["public", "==="]],
        }
    )


def named(schema: str, relation: str) -> str:
    """As objects are written."""
    return naming.join(schema, relation)


def row(text: str) -> bytes:
    """A DataRow of one column."""
    cell = text.encode()
    body = (1).to_bytes(2, "big") + len(cell).to_bytes(4, "big") + cell
    return b"D" + (len(body) + 4).to_bytes(4, "big") + body


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def judge(cache: CatalogCache | None = None, text: str | None = None) -> Judge:
    """A judge that has read the shop's catalogue."""
    made = Judge(TARGET, "shop", CatalogCache(Clock()) if cache is None else cache, analyze)
    if made.stale:
        assert made.catalog_query
        made.learn([row(document() if text is None else text)])
    return made
