"""Thousands of made-up queries, each in some way that its answer may come: no byte of the answers shows a canary.

`OSTIARY_LEAK_QUERIES` is how many, `OSTIARY_LEAK_SEED` where to begin.
"""

import os

import pytest

from tests.real.drivers.wire import query
from tests.real.leaks.conftest import Leaks
from tests.real.leaks.grammar import Grammar
from tests.real.leaks.ways import SETTINGS, WAYS, Steps, answers

pytestmark = pytest.mark.timeout(3600)

QUERIES = int(os.environ.get("OSTIARY_LEAK_QUERIES", "2000"))
SEED = int(os.environ.get("OSTIARY_LEAK_SEED", "1"))
#: Shown by the server itself: of those that run, so many must show something, or the search is worth nothing.
SHOWING = 0.7


def made(count: int, seed: int) -> list[tuple[str, Steps]]:
    """(what it is, messages)."""
    grammar = Grammar(seed)
    found: list[tuple[str, Steps]] = []
    for _ in range(count):
        if grammar.chance.random() < 0.25:
            name, sql = grammar.chance.choice(["simple", "extended"]), grammar.failing()
        else:
            name, sql = grammar.chance.choice(list(WAYS)), grammar.query()
        steps = WAYS[name](sql)
        if grammar.chance.random() < 0.3:
            steps = [query(f"SET LOCAL {grammar.chance.choice(SETTINGS)}"), *steps]
        found.append((f"{name}: {sql}", steps))
    return found


def test_no_canary_comes_through(leaks: Leaks) -> None:
    """Through the gateway."""
    shown = []
    with leaks.through() as client:
        for name, steps in made(QUERIES, SEED):
            found = leaks.finder.find(answers(client, steps))
            if found:
                shown.append(f"{name}\n    shows {sorted(found)}")
    assert not shown, f"{len(shown)} of {QUERIES} leak:\n" + "\n".join(shown[:40])


def test_the_server_shows_them(leaks: Leaks) -> None:
    """The same queries, sent to the server itself: most show a canary, so that the other test can fail."""
    share = min(QUERIES, 400)
    with leaks.direct() as client:
        shown = [bool(leaks.finder.find(answers(client, steps))) for _, steps in made(share, SEED)]
    assert sum(shown) >= share * SHOWING
