"""What each column of a result depends on and a parameter meets, on the catalogue of `shop`.

Columns are written `c.email` for customers, `o.note` for orders; "-" depends on nothing, "?" cannot be told, and
null says nothing at all.
"""

from pathlib import Path

import pytest
import yaml

from tests.protocols.postgres.shop import judge

TABLES = {"c": "public.customers", "o": "public.orders", "v": "public.v_customers", "m": "public.m_customers"}

CORPUS = Path(__file__).parents[2] / "corpus"
CASES = [(case["sql"], case["from"]) for case in yaml.safe_load((CORPUS / "lineage.yaml").read_text())]
PARAMETERS = [(case["sql"], case["meets"]) for case in yaml.safe_load((CORPUS / "parameters.yaml").read_text())]


def written(outputs: tuple[frozenset[str] | None, ...] | None) -> str | None:
    """Outputs in the words of the table."""
    if outputs is None:
        return None
    names = {f"shop/{table}.": f"{short}." for short, table in TABLES.items()}
    columns = []
    for output in outputs:
        if output is None:
            columns.append("?")
            continue
        shown = []
        for column in output:
            name = column
            for long, short in names.items():
                name = name.replace(long, short)
            shown.append(name.removeprefix("shop/"))
        columns.append(" ".join(sorted(shown)) or "-")
    return " | ".join(columns)


def ordered(expected: str | None) -> str | None:
    """The table's words with the columns of each output in order."""
    if expected is None:
        return None
    return " | ".join(" ".join(sorted(part.split())) for part in expected.split(" | ")) if expected else ""


@pytest.mark.parametrize(("text", "expected"), CASES, ids=range(len(CASES)))
def test_outputs(text: str, expected: str | None) -> None:
    """Each column of a result with the base columns its value may be computed from."""
    assert written(judge().statement(text).shape.outputs) == ordered(expected)


@pytest.mark.parametrize(("text", "expected"), PARAMETERS, ids=range(len(PARAMETERS)))
def test_inputs(text: str, expected: str | None) -> None:
    """Each parameter with the columns it may be compared with or stored in."""
    assert written(judge().statement(text).shape.inputs) == ordered(expected)


def test_cursors_and_prepared_statements_return_what_they_stand_for() -> None:
    """EXECUTE and FETCH have the outputs of their one statement; of several, nothing is said."""
    shop = judge()
    shop.statement("PREPARE p AS SELECT email FROM customers")
    assert written(shop.statement("EXECUTE p").shape.outputs) == "c.email"
    shop.runs(shop.statement("DECLARE k CURSOR FOR SELECT count(*) FROM customers").shape)
    assert written(shop.statement("FETCH 1 FROM k").shape.outputs) == "-"
    shop.statement("PREPARE p AS SELECT note FROM orders")
    assert shop.statement("EXECUTE p").shape.outputs is None
    assert shop.statement("EXPLAIN EXECUTE p").shape.outputs is None
