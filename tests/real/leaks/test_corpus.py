"""The corpus of leaks: what shows a canary when it is sent to the server itself shows none through the gateway.

`tests/corpus/leaks/*.yaml` is append-only. A case is `sql` and `why` it tells something, and may have: `before`, what
runs before it; `via`, one of the ways; `set`, a setting; `since`, the version that knows it.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.real.drivers.wire import query
from tests.real.leaks.conftest import Leaks
from tests.real.leaks.ways import WAYS, Steps, answers

pytestmark = pytest.mark.timeout(120)

_FOLDER = Path(__file__).parents[2] / "corpus" / "leaks"


@dataclass(frozen=True, slots=True)
class Case:
    """One of the corpus."""

    file: str
    sql: str
    why: str
    via: str = "simple"
    before: tuple[str, ...] = ()
    set: str = ""
    since: int = 0


def _read() -> list[Case]:
    return [
        Case(path.stem, **{**case, "before": tuple(case.get("before", ()))})
        for path in sorted(_FOLDER.glob("*.yaml"))
        for case in yaml.safe_load(path.read_text())
    ]


CASES = _read()


def steps_of(case: Case) -> Steps:
    """Its messages."""
    first = [query(f"SET LOCAL {case.set}")] if case.set else []
    return [*first, *map(query, case.before), *WAYS[case.via](case.sql)]


def test_there_are_enough() -> None:
    """Three hundred on each version, each with its reason, none twice."""
    assert sum(case.since <= 15 for case in CASES) >= 300
    assert all(case.why for case in CASES)
    assert len({(case.sql, case.via, case.before, case.set) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[f"{case.file}-{number}" for number, case in enumerate(CASES)])
def test_nothing_is_shown(leaks: Leaks, case: Case) -> None:
    """What the server shows, the gateway does not."""
    if case.since > leaks.server.version:
        pytest.skip(f"syntax of PostgreSQL {case.since}")
    steps = steps_of(case)
    with leaks.direct() as client:
        said = answers(client, steps)
    if any(b"built with libxml" in message for message in said):
        pytest.skip("a server without XML")
    assert leaks.finder.find(said), f"no attack: {case.sql}"
    with leaks.through(keeping=case.file == "laundering") as client:
        assert not leaks.finder.find(answers(client, steps)), f"{case.sql}\n{case.why}"
