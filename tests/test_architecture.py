"""Rules of the house that no import contract can say."""

import ast
from pathlib import Path

SOURCES = Path(__file__).parent.parent / "src" / "ostiary"


def test_only_the_gate_mints_permits() -> None:
    """`Permit(...)` is called in gate/gate.py and nowhere else."""
    callers = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Permit":
                callers.add(path.relative_to(SOURCES).as_posix())
    assert callers == {"gate/gate.py"}
