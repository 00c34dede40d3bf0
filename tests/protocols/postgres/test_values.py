"""Codecs of values: garbage is refused and never kills, both formats mean the same, bounds hold."""

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.core import ValueCodec
from ostiary.masking import ClassRule, Transform
from ostiary.masking.transforms.coarse import generalised
from ostiary.protocols.postgres.values import codec_of

TYPES = (17, 18, 19, 20, 21, 23, 650, 700, 701, 869, 1042, 1043, 1082, 1114, 1184, 1700, 2950, 1007, 1009, 1115, 1231)
DAY = 86_400_000_000
MOMENTS = st.integers(-2440588 * DAY, 106751983 * DAY) | st.sampled_from([math.inf, -math.inf])
SAME: dict[int, st.SearchStrategy[Any]] = {
    20: st.integers(-(1 << 63), (1 << 63) - 1),
    21: st.integers(-(1 << 15), (1 << 15) - 1),
    701: st.floats(allow_nan=False, allow_infinity=False),
    1082: st.integers(-2440588, 2145042905) | st.sampled_from([math.inf, -math.inf]),
    1114: MOMENTS,
    1184: MOMENTS,
    1700: st.decimals(allow_nan=False, allow_infinity=False, places=7),
    2950: st.binary(min_size=16, max_size=16),
    17: st.binary(max_size=60),
    869: st.tuples(st.binary(min_size=4, max_size=4), st.integers(0, 32))
    | st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 128)),
}


def codec(oid: int, binary: int) -> ValueCodec:
    """Of a type in a format."""
    found = codec_of(oid, 24, binary)
    assert found is not None
    return found


@given(st.data())
@pytest.mark.parametrize("oid", list(SAME))
def test_both_formats_mean_the_same(oid: int, data: st.DataObject) -> None:
    """A value comes back from either as it went in, to the last microsecond and digit."""
    value = data.draw(SAME[oid])
    for binary in (0, 1):
        each = codec(oid, binary)
        got = each.decode(each.encode(value))
        assert got == value
        assert type(got) is type(value)


@given(st.binary(max_size=80) | st.text('0123456789-+:. {}[]=,e/\\"xNULBCinfty', max_size=40).map(str.encode))
@pytest.mark.parametrize("binary", [0, 1])
@pytest.mark.parametrize("oid", TYPES)
def test_garbage_is_refused(oid: int, binary: int, cell: bytes) -> None:
    """By ValueError, which nulls it; what is taken can be written."""
    each = codec(oid, binary)
    try:
        value = each.decode(cell)
        again = each.encode(value)
    except (ValueError, OverflowError):
        return
    assert each.encode(each.decode(again)) == again


@pytest.mark.parametrize("cell", [b"1e999999999", b"1e5", b"NaN", b"Infinity", b"1" * 513])
def test_a_numeric_stays_small(cell: bytes) -> None:
    """A hostile target's exponent is not spelled out."""
    with pytest.raises(ValueError, match="finite"):
        codec(1700, 0).decode(cell)


def test_the_largest_numeric_that_is_read_is_put_into_its_bucket() -> None:
    """Exactly: no digit of it is rounded away."""
    change = generalised(ClassRule(Transform.GENERALISE, step=7), codec(1700, 1).datum)
    assert change is not None
    value = Decimal("9" * 500 + ".5")
    got = change(value)
    assert int(got) % 7 == 0
    assert 0 <= int(value) - int(got) < 7
