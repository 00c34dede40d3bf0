"""Code that runs without being named: what it does is the statement's; the server's count of written rows agrees."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
import yaml

from tests.protocols.postgres import shop
from tests.real.oracle.server import Server
from tests.real.servers import PostgresServer
from tests.real.test_sql_oracle import catalogue

CORPUS: Final = Path(__file__).parents[2] / "corpus" / "unseen"
PARENTS: Final = {"hr.parts_low": "hr.parts", "hr.parts_high": "hr.parts", "hr.child": "hr.parent"}
CASES: Final[list[dict[str, Any]]] = yaml.safe_load((CORPUS / "cases.yaml").read_text())


@pytest.fixture(scope="module")
def company(postgres: PostgresServer) -> Iterator[tuple[Server, str]]:
    """A connection that statements are tried on, and the catalogue of its database."""
    name = f"unseen_{os.getpid()}"
    postgres.run(f"CREATE DATABASE {name}")
    with psycopg.connect(postgres.dsn(name), autocommit=True) as connection:
        connection.execute((CORPUS / "schema.sql").read_bytes())
        document = catalogue(connection)
        connection.execute("SET statement_timeout = '5s'")
        yield Server(connection), document
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("case", CASES, ids=[str(i) for i in range(len(CASES))])
def test_what_runs_unseen(company: tuple[Server, str], case: dict[str, Any]) -> None:
    """Judged as the corpus says; and every row that the server counted as written was judged, or its definition was."""
    server, document = company
    action = shop.judge(text=document).statement(case["sql"])
    told = [f"{access.operation} {access.object.removeprefix('shop/')}" for access in action.shape.accesses]
    assert sorted(told) == case["does"]
    seen = None if "STDIN" in case["sql"] else server.run(case["sql"])
    assert (seen is None) is case.get("fails", False)
    for schema, relation, kind in seen.written if seen is not None else ():
        name = f"{schema}.{relation}"
        unknown = any(access.startswith("unknown ") for access in told)
        covered = {f"{kind} {name}", f"{kind} {PARENTS.get(name)}", f"define {name}"}
        # A row that moves to another partition is deleted and inserted.
        moved = f"update {PARENTS.get(name)}" in told
        assert covered & {*told} or schema == "pg_catalog" or moved or unknown, f"{kind} {name}"
