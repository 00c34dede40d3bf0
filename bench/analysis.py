"""`python -m bench.analysis`: CPU of judging a statement, from its text to its action, in microseconds.

Cold: a shape that was not seen before, parsed, walked and resolved with the catalogue. Warm: a shape that was, with
other constants. Over the statements of the corpora that can be judged.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

import yaml
from tests.protocols.postgres import shop

from ostiary.protocols.postgres.statements import Judge
from ostiary.sql import template
from ostiary.sql.analyze import fresh

CORPUS = Path(__file__).parents[1] / "tests" / "corpus"
#: Constants no statement of the corpora has.
FIRST = 700_000


def texts() -> list[str]:
    """Single texts of the corpora."""
    files = [*sorted((CORPUS / "sql").glob("*.yaml")), CORPUS / "lineage.yaml"]
    cases = [case for file in files for case in yaml.safe_load(file.read_text())]
    return [case["sql"] for case in cases if isinstance(case["sql"], str) and "refused" not in case]


def spent(work: Callable[[], object]) -> float | None:
    """CPU of it; None where the statement is refused."""
    begun = time.process_time_ns()
    try:
        work()
    except ValueError:
        return None
    return (time.process_time_ns() - begun) / 1000


def cold(judge: Judge, text: str) -> float | None:
    """Past every memo; the best of five."""
    rounds = [spent(lambda: judge._judge(text, template(text))) for _ in range(5)]
    return min(filter(None, rounds), default=None)


def main() -> None:
    """Print the figures."""
    judge = shop.judge()
    judge._analyze = fresh
    found = sorted(filter(None, (cold(judge, text) for text in texts())))
    print(
        f"cold: median {quantiles(found)[1]:.0f}, 95th of a hundred {quantiles(found, n=20)[-1]:.0f}, of {len(found)}"
    )
    judge = shop.judge()
    for shape in ("SELECT id FROM customers WHERE id = {}", "UPDATE orders SET amount = {} WHERE id = 7"):
        judge.statement(shape.format(FIRST))
        begun = time.process_time_ns()
        for at in range(FIRST + 1, FIRST + 2001):
            judge.statement(shape.format(at))
        print(f"warm: {(time.process_time_ns() - begun) / 2e6:.1f}, {shape.format('…')}")


if __name__ == "__main__":
    main()
