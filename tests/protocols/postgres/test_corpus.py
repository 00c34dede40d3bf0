"""The corpus of statements (tests/corpus/sql, append-only): what each must be judged as, on the catalogue of `shop`.

An entry is `sql` (a list: statements of one session, the last is judged), `does` (its accesses, or `refused`),
`where: false` when it changes without a condition, `dynamic`, and `opaque` when no one can tell what its result shows.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ostiary.sql import UnparsableError, analyze
from ostiary.sql.analyze import fresh
from tests.protocols.postgres.shop import judge

CORPUS = Path(__file__).parents[2] / "corpus" / "sql"
CASES: list[dict[str, Any]] = [
    case for file in sorted(CORPUS.glob("*.yaml")) for case in yaml.safe_load(file.read_text())
]


def texts(case: dict[str, Any]) -> list[str]:
    """The statements of a case."""
    sql = case["sql"]
    return sql if isinstance(sql, list) else [sql]


@pytest.mark.parametrize("case", CASES, ids=[str(i) for i in range(len(CASES))])
def test_statement(case: dict[str, Any]) -> None:
    """A statement is judged for what it does, whatever it looks like."""
    shop = judge()
    *before, last = texts(case)
    for text in before:
        shop.runs(shop.statement(text).shape)
    if "refused" in case:
        with pytest.raises(ValueError, match=case["refused"].replace("(", r"\(")):
            shop.statement(last)
        return
    shape = shop.statement(last).shape
    assert [f"{a.operation} {a.object.removeprefix('shop/')}" for a in shape.accesses] == case["does"]
    assert shape.context["has_where"] is case.get("where", True)
    assert shape.context["dynamic"] is case.get("dynamic", False)
    assert (shape.sources is None) is case.get("opaque", False)
    if shape.sources is None:
        assert shape.outputs is None


def test_corpus_is_large() -> None:
    """Nobody thinned it out."""
    assert len(CASES) >= 550


@pytest.mark.parametrize("text", sorted({text for case in CASES for text in texts(case)}))
def test_memo_gives_what_analysis_gives(text: str) -> None:
    """What comes from a memo is what a fresh analysis says."""
    try:
        expected = fresh(text)
    except UnparsableError:
        with pytest.raises(UnparsableError):
            analyze(text)
        return
    assert analyze(text) == expected
    assert analyze(text) == expected
