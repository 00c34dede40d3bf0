"""A value of a classified column does not come out, in any of the forms a person would recognise."""

import base64

from hypothesis import given, settings
from hypothesis import strategies as st

from ostiary.core import Column, Result, ResultKind, ValueKind
from ostiary.masking import Classification, ClassRule, Detection, Transform
from tests.masking.fakes import TARGET, Cells, FakeRights, action, masking

CANARIES = st.one_of(
    st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=12, max_size=80),
    st.emails().filter(lambda mail: len(mail) >= 12),
    st.from_regex(r"[a-z]{6,12}@[a-z]{6,12}\.[a-z]{2,12}", fullmatch=True),
    st.from_regex(r"[0-9]{13,19}", fullmatch=True),
    st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True),
    st.from_regex(r"DE[0-9]{20}", fullmatch=True),
    st.text(min_size=12, max_size=600),
)
MASKING = st.sampled_from([t for t in Transform if t is not Transform.KEEP])
COLUMNS = st.sampled_from(["direct", "view", "computed", "unknown"])


def forms(value: bytes) -> set[bytes]:
    """Six bytes in a row of the value: plain, reversed, in hex, in base64."""
    pieces = {value[at : at + 6] for at in range(len(value) - 5)}
    pieces = {piece for piece in pieces if len(set(piece)) > 2 and b"*" not in piece}
    reverse = {piece[::-1] for piece in pieces}
    return pieces | reverse | {p.hex().encode() for p in pieces} | {base64.b64encode(p) for p in pieces}


@settings(max_examples=400)
@given(CANARIES, MASKING, COLUMNS, st.sampled_from(list(ValueKind)), st.booleans())
def test_no_piece_of_a_canary_comes_out(canary: str, transform: Transform, how: str, kind: ValueKind, on: bool) -> None:
    """Under every transform, way to reach the column, kind of value, with and without detectors."""
    service = masking(
        Detection() if on else Detection({}),
        classification=(Classification("orders", "public.customers.email", "pii"),),
        rules={"pii": ClassRule(transform)},
    )
    source = "orders/public.customers.email"
    column = {
        "direct": Column("c", source, kind),
        "view": Column("c", "orders/public.v.c", kind, origins=(source,)),
    }.get(how, Column("c", None, kind))
    what = action("public.customers", unknown=how == "unknown")
    value = canary.encode("utf-8", "replace")
    masker = service.masker(FakeRights({"other"}), TARGET, what)
    got, clear = masker.mask(Result(ResultKind.ROWS, (column,), Cells([value, None, value])))
    cells = got.rows.column(0)
    out = b"\n".join(cell for cell in cells if cell is not None)
    assert not clear
    assert cells[1] is None
    assert not any(piece in out for piece in forms(value)), out


@given(
    st.lists(st.sampled_from(["ada@example.com", "4111111111111111", "DE89370400440532013000", "x", "\0"]), max_size=6)
)
def test_no_find_comes_out_of_an_unclassified_text(pieces: list[str]) -> None:
    """Finds are gone wherever they stand in a cell."""
    masker = masking(Detection()).masker(FakeRights(), TARGET, action("public.orders"))
    cell = " ".join(pieces).encode()
    got, _ = masker.mask(Result(ResultKind.ROWS, (Column("c", None, ValueKind.TEXT),), Cells([cell, b"x", cell])))
    out = b"".join(c or b"" for c in got.rows.column(0))
    for secret in (b"ada@example", b"4111111111111111", b"0440532013"):
        assert secret not in out
