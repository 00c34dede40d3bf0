"""The guard before the parser, and what the parser refuses."""

import pytest

from ostiary.sql import UnparsableError, analyze
from ostiary.sql.parse import MAX_TEXT, guarded

DEEP = 200_000


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1" + "+1" * DEEP,
        "SELECT " + "NOT " * DEEP + "true",
        "SELECT " + "(" * DEEP + "1" + ")" * DEEP,
        "SELECT 1 " + "UNION SELECT 1 " * (DEEP // 4),
        "SELECT * FROM a" + " JOIN a ON true" * (DEEP // 4),
        "SELECT " + "f(" * DEEP + ")" * DEEP,
        "SELECT a" + "::int" * DEEP,
        "SELECT 1" + " IS NULL" * (DEEP // 4),
        "SELECT " + "- " * DEEP + "1",
        "SELECT " + "(1+" * DEEP + "1" + ")" * DEEP,
        "SELECT f(1," + "1+(1," * (DEEP // 2),
        "SELECT a, b UNION " * (DEEP // 8) + "SELECT a, b",
        "SELECT a" + " BETWEEN 1 AND 2 IS NULL" * (DEEP // 8),
        "SELECT " + "CASE WHEN a AND b THEN " * (DEEP // 8),
        "SELECT * FROM a" + " JOIN b ON a AND b" * (DEEP // 8),
        "DO '" + "begin " * (DEEP // 2) + "'",
    ],
    ids=range(16),
)
def test_deep_nesting_is_refused(text: str) -> None:
    """A text that would overrun the parser's stack is refused; the process lives on."""
    with pytest.raises(UnparsableError):
        analyze(text[:MAX_TEXT])
    assert analyze("SELECT 1").statements


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("SELECT 1" + "||'a'" * 200, 1),
        ("SELECT 1 WHERE " + " OR ".join(["a = 1"] * 2000), 1),
        ("SELECT 1 WHERE " + " AND ".join(["a IS NOT NULL"] * 2000), 1),
        ("SELECT * FROM t0" + "".join(f" JOIN t{i} ON t{i}.id = t0.id" for i in range(60)), 1),
        ("SELECT 1" + " UNION ALL SELECT 1" * 80, 1),
        ("INSERT INTO t VALUES " + ",".join(["(1, -2, 'a', NULL, now())"] * 5000), 1),
        ("SELECT 1;" * 3000, 3000),
        ("SELECT " + ",".join(f"a{i} AS b{i}" for i in range(1500)), 1),
    ],
    ids=range(8),
)
def test_long_statements_are_judged(text: str, statements: int) -> None:
    """What applications write is not refused for its length."""
    assert len(analyze(text).statements) == statements


@pytest.mark.parametrize(
    "text", ["SELECT 'a", "DELETE FROM", "SELECT 1\0", "nonsense", "SELECT \ud800", "x" * (MAX_TEXT + 1)]
)
def test_unparsable(text: str) -> None:
    """What the grammar does not know is refused with a sentence."""
    with pytest.raises(UnparsableError, match="the statement"):
        analyze(text)


def test_the_guard_bounds_length() -> None:
    """No text longer than the limit reaches any parser."""
    guarded("x" * MAX_TEXT)
    with pytest.raises(UnparsableError, match="longer"):
        guarded("x" * (MAX_TEXT + 1))


def test_unknown_nodes_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node of a grammar to come makes a statement unknown, never a read."""
    from ostiary.sql import nodes, walk
    from ostiary.sql.analyze import fresh

    monkeypatch.setattr(walk, "PLAIN", nodes.PLAIN - {"CaseExpr"})
    (statement,) = fresh("SELECT CASE WHEN true THEN 1 END").statements
    assert [(t.operation.value, t.name.name) for t in statement.touches] == [("unknown", "unknown/CaseExpr")]
