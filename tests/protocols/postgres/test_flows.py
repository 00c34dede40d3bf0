"""Where statements put values (tests/corpus/flows.yaml, append-only)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.protocols.postgres.shop import judge

CORPUS = Path(__file__).parents[2] / "corpus" / "flows.yaml"
CASES: list[dict[str, Any]] = yaml.safe_load(CORPUS.read_text())


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_moves(case: dict[str, Any]) -> None:
    """What leaves its place is told, and nothing else."""
    shop = judge()
    texts = case["sql"] if isinstance(case["sql"], list) else [case["sql"]]
    for text in texts[:-1]:
        shop.statement(text)
    moves = shop.statement(texts[-1]).shape.moves
    if case.get("untold"):
        assert moves is None
        return
    assert moves is not None
    told = {f"{' '.join(sorted(move.sources))} > {move.into[0]}".replace("shop/", "") for move in moves}
    assert told == set(case.get("moves", ()))
