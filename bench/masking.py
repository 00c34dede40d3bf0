"""`python -m bench.masking`: what each transform costs a value, and a row of five columns of which one is masked.

Values but dates are all different, the worst case: those that come again are remembered. In text format, by batches of
900 rows; no sockets, no recording.
"""

import time
from collections.abc import Callable

from tests.masking import fakes

import ostiary.masking.plan
from ostiary.core import Column, Result, ResultKind, ValueKind
from ostiary.masking import ClassRule, Transform
from ostiary.masking.transforms import Transforms
from ostiary.protocols.postgres.rows import DataRows, encode_row
from ostiary.protocols.postgres.values import codec_of

BATCH, BATCHES, ROUNDS = 900, 60, 3
#: Name → type, the n-th value.
VALUES: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "text": (25, lambda n: b"person.%d@example.org" % n),
    "card number": (25, lambda n: b"%016d" % (4111111111111111 + n * 7)),
    "int4": (23, lambda n: b"%d" % (n * 7919 % 2_000_000_000)),
    "date": (1082, lambda n: b"%04d-%02d-%02d" % (1900 + n % 120, n % 12 + 1, n % 28 + 1)),
    "timestamptz": (1184, lambda n: b"%04d-%02d-%02d 12:34:56.%06d+00" % (1900 + n % 120, n % 12 + 1, n % 28 + 1, n)),
    "numeric": (1700, lambda n: b"%d.%02d" % (n, n % 100)),
    "uuid": (2950, lambda n: b"%08x-e89b-12d3-a456-426614174000" % n),
    "inet": (869, lambda n: b"10.%d.%d.%d" % (n >> 16 & 255, n >> 8 & 255, n & 255)),
}
CASES: list[tuple[str, ClassRule]] = [
    *(
        ("text", ClassRule(transform))
        for transform in (Transform.NULL, Transform.REDACT, Transform.HASH, Transform.TOKEN, Transform.PARTIAL)
    ),
    ("text", ClassRule(Transform.GENERALISE, first=2)),
    ("text", ClassRule(Transform.FORMAT_PRESERVING)),
    ("card number", ClassRule(Transform.FORMAT_PRESERVING)),
    *(("int4", ClassRule(transform)) for transform in (Transform.HASH, Transform.TOKEN, Transform.FORMAT_PRESERVING)),
    ("int4", ClassRule(Transform.GENERALISE, step=10)),
    ("numeric", ClassRule(Transform.GENERALISE, step=10)),
    *((kind, ClassRule(t)) for kind in ("date", "timestamptz") for t in (Transform.DATE_SHIFT, Transform.GENERALISE)),
    *(("uuid", ClassRule(transform)) for transform in (Transform.HASH, Transform.TOKEN)),
    ("inet", ClassRule(Transform.GENERALISE)),
]


def best(work: Callable[[], object]) -> float:
    """CPU seconds of the quickest round."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


def measured(name: str, rule: ClassRule) -> tuple[float, float]:
    """CPU nanoseconds a value, rows a CPU second."""
    oid, value = VALUES[name]
    kind = ValueKind.TEXT if oid == 25 else ValueKind.OPAQUE
    masked = Column("c", fakes.EMAIL, kind, codec=codec_of(oid, -1, 0))
    cells: list[bytes | None] = [value(number) for number in range(BATCH * BATCHES)]
    batches = [cells[at : at + BATCH] for at in range(0, len(cells), BATCH)]
    replacer = Transforms("orders", fakes.KEY).replacer(rule, "pii.email", masked)
    alone = best(lambda: [replacer.cells(batch) for batch in batches])
    runs = [
        b"".join([encode_row([b"1", cell, b"city 12", b"1950-01-01", b"123.45"]) for cell in batch])
        for batch in batches
    ]
    others = [fakes.column(other, f"orders/public.customers.{other}") for other in "abcd"]
    columns = (others[0], masked, *others[1:])
    service = fakes.masking(rules={"pii.email": rule}, classification=fakes.CLASSIFICATION[:1])
    masker = service.masker(fakes.FakeRights(), fakes.TARGET, fakes.action("public.customers"))
    rows = best(lambda: [masker.mask(Result(ResultKind.ROWS, columns, DataRows(run, BATCH, 5))) for run in runs])
    return alone / len(cells) * 1e9, len(cells) / rows


def main() -> None:
    """Print the figures."""
    native = "compiled" if ostiary.masking.plan.__file__.endswith(".so") else "pure Python"
    print(f"{native}\n{'':32}{'ns a value':>12}{'rows/s':>12}")
    for name, rule in CASES:
        value, rows = measured(name, rule)
        print(f"{name:13}{rule.transform:19}{value:12,.0f}{rows:12,.0f}")


if __name__ == "__main__":
    main()
