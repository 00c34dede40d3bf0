"""Every transform on values of every kind, in text and binary format: what comes out is of the column's type."""

import itertools
import math
import random
from decimal import Decimal
from ipaddress import ip_interface
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.core import Column, Datum, Secret, ValueCodec, ValueKind
from ostiary.core.calendar import date_of, days_of
from ostiary.masking import ClassRule, Precision, Transform
from ostiary.masking.transforms import REDACTED, Transforms
from ostiary.masking.transforms.keyed import TOKEN_PREFIX, Keys, days_shifted
from ostiary.protocols.postgres.values import codec_of

KEY = Secret(bytes(range(32)))
MINE = Transforms("orders", KEY)
TEXT, VARCHAR, CHAR, INT2, INT4, INT8, NUMERIC, FLOAT8 = 25, 1043, 1042, 21, 23, 20, 1700, 701
DATE, TIMESTAMP, TIMESTAMPTZ, UUID, INET, CIDR, BYTEA, BOOL = 1082, 1114, 1184, 2950, 869, 650, 17, 16
DAY = 86_400_000_000
BIRTH = days_of(1984, 2, 29)


def address(shown: str) -> tuple[bytes, int]:
    """An address and its network."""
    found = ip_interface(shown)
    return found.packed, found.network.prefixlen


SECRET: dict[int, Any] = {
    INT2: 12345,
    INT4: 1234567893,
    INT8: 4111111111111111,
    NUMERIC: Decimal("12345.67"),
    FLOAT8: 12345.5,
    DATE: BIRTH,
    TIMESTAMP: BIRTH * DAY + 1,
    TIMESTAMPTZ: BIRTH * DAY + 1,
    UUID: bytes.fromhex("123e4567e89b12d3a456426614174000"),
    INET: (bytes((10, 20, 30, 40)), 32),
    CIDR: address("2001:db8:1:2::/64"),
    BYTEA: b"secret bytes",
}
#: Which kinds a transform gives values for; all others become null.
CHANGES = {
    Transform.HASH: {INT4, INT8, UUID, BYTEA},
    Transform.TOKEN: {INT4, INT8, UUID, BYTEA},
    Transform.FORMAT_PRESERVING: {INT4, INT8, UUID},
    Transform.DATE_SHIFT: {DATE, TIMESTAMP, TIMESTAMPTZ},
    Transform.GENERALISE: {INT2, INT4, INT8, NUMERIC, FLOAT8, DATE, TIMESTAMP, TIMESTAMPTZ, INET, CIDR},
}
RULES = {transform: ClassRule(transform) for transform in Transform} | {
    Transform.GENERALISE: ClassRule(Transform.GENERALISE, step=10, first=2)
}


def column(oid: int, binary: int = 0, modifier: int = -1) -> Column:
    """As the engine describes it."""
    text = oid in (TEXT, VARCHAR, CHAR)
    kind = ValueKind.TEXT if text else ValueKind.OPAQUE
    return Column("c", None, kind, str(oid), binary=bool(binary), codec=codec_of(oid, modifier, binary))


def changed(rule: ClassRule | Transform, oid: int, value: Any, data_class: str = "pii", binary: int = 0) -> Any:
    """A value of a type after a rule; None: it was nulled."""
    described = column(oid, binary)
    rule = RULES[rule] if isinstance(rule, Transform) else rule
    codec = described.codec or ValueCodec(Datum.TEXT, bytes.decode, str.encode)
    (cell,) = MINE.replacer(rule, data_class, described).cells([codec.encode(value)])
    return None if cell is None else codec.decode(cell)


@pytest.mark.parametrize("binary", [0, 1], ids=["text", "binary"])
@pytest.mark.parametrize("oid", list(SECRET))
@pytest.mark.parametrize("transform", [each for each in Transform if each is not Transform.KEEP])
def test_every_transform_on_every_kind(transform: Transform, oid: int, binary: int) -> None:
    """Another value of the type where the transform has one, the same in both formats; null where it has none."""
    described = column(oid, binary)
    replacer = MINE.replacer(RULES[transform], "pii", described)
    codec = described.codec
    assert codec is not None
    cell = codec.encode(SECRET[oid])
    one, null, again = replacer.cells([cell, None, cell])
    assert null is None
    assert one == again
    if oid not in CHANGES.get(transform, ()):
        # Sixteen bits are too few to encrypt among themselves: that shows with the value, not with the type.
        assert one is None
        return
    assert replacer.shown is transform
    assert one is not None
    assert codec.decode(one) != SECRET[oid]
    assert codec.decode(one) == changed(transform, oid, SECRET[oid], binary=1 - binary)


@pytest.mark.parametrize("transform", [each for each in Transform if each is not Transform.KEEP])
def test_a_type_without_a_codec_is_nulled(transform: Transform) -> None:
    """A boolean, a composite, a type of an extension."""
    replacer = MINE.replacer(RULES[transform], "pii", column(BOOL))
    assert replacer.shown is Transform.NULL
    assert replacer.cells([b"t", None]) == [None, None]


@pytest.mark.parametrize("transform", [Transform.DATE_SHIFT, Transform.REDACT])
def test_text_that_a_transform_is_not_for_is_redacted(transform: Transform) -> None:
    """And what masked it says so."""
    replacer = MINE.replacer(RULES[transform], "pii", column(TEXT))
    assert replacer.shown is Transform.REDACT
    assert replacer.cells([b"1984-02-29"]) == [REDACTED.encode()]


@pytest.mark.parametrize("oid", [INT4, UUID, DATE, INET])
def test_what_does_not_decode_is_nulled(oid: int) -> None:
    """Never shown, never an error."""
    for transform, binary in itertools.product(Transform, (0, 1)):
        if transform is not Transform.KEEP:
            assert MINE.replacer(RULES[transform], "pii", column(oid, binary)).cells([b"\xff!"]) == [None]


# ------------------------------------------------------------ hash, token


@given(st.integers(-(1 << 63), (1 << 63) - 1))
@pytest.mark.parametrize("transform", [Transform.HASH, Transform.TOKEN])
def test_integers_are_permuted(transform: Transform, value: int) -> None:
    """In the type's range; columns of either size join; those of 32 bits among themselves."""
    got = changed(transform, INT8, value)
    small = -(1 << 31) <= value < 1 << 31
    assert (-(1 << 31) <= got < 1 << 31) == small
    if small:
        assert changed(transform, INT4, value) == got
    assert changed(RULES[Transform.TOKEN], INT8, value, "a") != changed(RULES[Transform.TOKEN], INT8, value, "b")
    assert changed(Transform.HASH, INT8, value, "a") == changed(Transform.HASH, INT8, value, "b")
    assert MINE.token("pii").reveal(str(changed(Transform.TOKEN, INT8, value))) == str(value)


def test_a_hashed_uuid_is_a_uuid() -> None:
    """Of version 8, of the variant that all have."""
    got = changed(Transform.HASH, UUID, SECRET[UUID])
    assert got[6] >> 4 == 8
    assert got[8] >> 6 == 2


@given(st.text(max_size=60))
def test_a_token_gives_its_text_back(value: str) -> None:
    """To who has the key of its class; to nobody else, and not after a change of it."""
    token = changed(Transform.TOKEN, TEXT, value)
    assert token.startswith(TOKEN_PREFIX)
    assert token.removeprefix(TOKEN_PREFIX).isalnum()
    assert MINE.token("pii").reveal(token) == value
    assert changed(Transform.TOKEN, TEXT, value) == token
    forged = token[:10] + ("a" if token[10] != "a" else "b") + token[11:]
    for tokens, wrong in (
        (MINE.token("other"), token),
        (MINE.token("pii"), forged),
        (Transforms("billing", KEY).token("pii"), token),
    ):
        with pytest.raises(ValueError, match="token of another"):
            tokens.reveal(wrong)


@pytest.mark.parametrize(("oid", "shown"), [(UUID, "123e4567-e89b-12d3-a456-426614174000"), (BYTEA, "\\x00ff")])
def test_tokens_of_other_kinds_give_their_value_back(oid: int, shown: str) -> None:
    """As they are written in text format."""
    described = column(oid)
    (token,) = MINE.replacer(RULES[Transform.TOKEN], "pii", described).cells([shown.encode()])
    assert token is not None
    assert MINE.token("pii").reveal(token.decode()) == shown


@pytest.mark.parametrize("token", ["", "tok1_", "ada", "tok1_" + "z" * 40, "tok1_aaa", "9" * 19, "\\x00", "\\xzz", "½"])
def test_what_is_no_token_reveals_nothing(token: str) -> None:
    """And the sentence does not repeat it."""
    with pytest.raises(ValueError, match="token") as raised:
        MINE.token("pii").reveal(token)
    assert not token or token not in str(raised.value)


@pytest.mark.parametrize("transform", [Transform.HASH, Transform.TOKEN, Transform.REDACT, Transform.FORMAT_PRESERVING])
@pytest.mark.parametrize("oid", [VARCHAR, CHAR])
@pytest.mark.parametrize("size", [5, 16, 50])
def test_declared_lengths_are_kept(transform: Transform, oid: int, size: int) -> None:
    """A hash is cut to 64 bits at most, a token that does not fit is redacted; character(n) is padded."""
    described = column(oid, modifier=size + 4)
    value = b"abcde"
    (cell,) = MINE.replacer(RULES[transform], "pii", described).cells([value.ljust(size) if oid == CHAR else value])
    assert cell is not None
    shown = cell.decode()
    assert len(shown) == size if oid == CHAR else len(shown) <= size
    shown = shown.rstrip()
    redacted = REDACTED if size >= len(REDACTED) else "*" * size
    match transform:
        case Transform.HASH:
            whole = MINE.hash(value).decode()
            assert shown == (redacted if size < 16 else whole[: min(size, 32)])
        case Transform.TOKEN:
            assert shown == (changed(Transform.TOKEN, TEXT, "abcde") if size == 50 else redacted)
        case Transform.FORMAT_PRESERVING:
            assert shown == changed(transform, TEXT, "abcde")
        case _:
            assert shown == redacted


# ------------------------------------------------------------ format-preserving


@given(st.text("abcXYZ0189 -./@", min_size=6, max_size=40))
def test_the_format_is_preserved(value: str) -> None:
    """Letters of either case, digits and everything else stay what and where they are, or nothing is shown."""
    got = changed(Transform.FORMAT_PRESERVING, TEXT, value)
    domain = math.prod(10 if c.isdigit() else 26 if c.isalpha() else 1 for c in value)
    if domain < 1_000_000:
        assert got == REDACTED
        return
    assert len(got) == len(value)
    for one, other in zip(value, got, strict=True):
        same_kind = (one.isdigit(), one.islower(), one.isupper()) == (other.isdigit(), other.islower(), other.isupper())
        assert same_kind
        assert one.isalnum() or one == other


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1."""
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


@given(st.text("0123456789", min_size=13, max_size=19))
def test_card_numbers_keep_their_validity(digits: str) -> None:
    """Both ways."""
    assert luhn(changed(Transform.FORMAT_PRESERVING, TEXT, digits)) == luhn(digits)
    valid = next(digits[:-1] + last for last in "0123456789" if luhn(digits[:-1] + last))
    assert luhn(changed(Transform.FORMAT_PRESERVING, TEXT, valid))


def test_no_two_become_the_same() -> None:
    """Of valid and invalid numbers alike, and of what has letters in it."""
    values = random.Random(4)
    numbers = {f"{values.randrange(10**16):016}" for _ in range(300)}
    mixed = {f"AB{values.randrange(10**6):06}" for _ in range(300)}
    for each in (numbers, mixed):
        assert len({changed(Transform.FORMAT_PRESERVING, TEXT, value) for value in each}) == len(each)


@pytest.mark.parametrize(
    "value", ["Zoë Müller", "x" * 513, "12345", "", "--------", "\u0661\u0662\u0663\u0664\u0665\u0666"]
)
def test_what_has_no_format_is_redacted(value: str) -> None:
    """A letter that stayed would be shown, and too few values could all be tried."""
    assert changed(Transform.FORMAT_PRESERVING, TEXT, value) == REDACTED


@given(st.integers(-(1 << 31) + 1, (1 << 31) - 1))
def test_integers_keep_sign_and_number_of_digits(value: int) -> None:
    """From seven digits on; others are nulled."""
    got = changed(Transform.FORMAT_PRESERVING, INT4, value)
    if abs(value) < 1_000_000:
        assert got is None
    else:
        assert (got > 0, len(str(got))) == (value > 0, len(str(value)))


# ------------------------------------------------------------ date-shift, generalise


def test_all_dates_of_a_class_move_alike() -> None:
    """By a number of days within what is asked for, and never none; another class's move by another."""
    rule = ClassRule(Transform.DATE_SHIFT, days=10)
    days = changed(rule, DATE, BIRTH) - BIRTH
    assert 1 <= abs(days) <= 10
    assert changed(rule, DATE, -300_000) == -300_000 + days
    assert changed(rule, TIMESTAMPTZ, BIRTH * DAY + 5) == (BIRTH + days) * DAY + 5
    # A float could not tell this microsecond.
    assert changed(rule, TIMESTAMP, 100_000 * 365 * DAY + 1) == (100_000 * 365 + days) * DAY + 1
    assert changed(rule, DATE, math.inf) == math.inf
    moved = {days_shifted(Keys(KEY, "orders"), f"class {number}", 10) for number in range(400)}
    assert moved == {*range(-10, 0), *range(1, 11)}


def test_a_date_that_leaves_the_range_is_nulled() -> None:
    """The type could not hold it."""
    ends = [changed(RULES[Transform.DATE_SHIFT], DATE, end) for end in (-2440588, 2145042905)]
    assert None in ends


@pytest.mark.parametrize(
    ("to", "floor"),
    [(Precision.MONTH, (1984, 2, 1)), (Precision.YEAR, (1984, 1, 1)), (Precision.DECADE, (1980, 1, 1))],
)
def test_dates_are_generalised(to: Precision, floor: tuple[int, int, int]) -> None:
    """To the first of the period they are in."""
    rule = ClassRule(Transform.GENERALISE, to=to)
    assert date_of(changed(rule, DATE, BIRTH)) == floor
    assert changed(rule, TIMESTAMP, BIRTH * DAY + DAY - 1) == days_of(*floor) * DAY
    assert changed(rule, DATE, -math.inf) == -math.inf


@pytest.mark.parametrize(
    ("oid", "value", "shown"),
    [
        (INT4, 37, 30),
        (INT4, -37, -40),
        (INT2, -32768, None),
        (NUMERIC, Decimal("-0.01"), Decimal(-10)),
        (NUMERIC, Decimal("99.99"), Decimal(90)),
        (FLOAT8, 1234.5, 1230.0),
        (TEXT, "10115", "10***"),
        (TEXT, "10", "***"),
        (INET, address("10.20.30.40/32"), address("10.20.30.0/24")),
        (INET, address("10.20.30.40/8"), address("10.0.0.0/8")),
        (INET, address("2001:db8:1:2:3::4"), address("2001:db8:1::/48")),
    ],
)
def test_values_are_generalised(oid: int, value: Any, shown: Any) -> None:
    """Numbers to the bucket below, texts to their first characters, addresses to their network."""
    assert changed(Transform.GENERALISE, oid, value) == shown
    bare = changed(ClassRule(Transform.GENERALISE), oid, value)
    assert bare == (shown if oid == INET else REDACTED if oid == TEXT else None)


@pytest.mark.parametrize("days", [-719469, -719468, -1, 0, 11016, 2145042905, -2440588])
def test_the_calendar_is_its_own_inverse(days: int) -> None:
    """Around leap days, before Christ, and at the ends."""
    assert days_of(*date_of(days)) == days


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"transform": Transform.DATE_SHIFT, "days": 0}, "days: must be"),
        ({"transform": Transform.HASH, "days": 3}, "of `date-shift`, not of `hash`"),
        ({"transform": Transform.GENERALISE, "step": 1}, "step: must be"),
        ({"transform": Transform.GENERALISE, "first": 0}, "first: must be"),
        ({"transform": Transform.PARTIAL, "first": 2}, "of `generalise`, not of `partial`"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], why: str) -> None:
    """One that is of another transform would not do what it says."""
    with pytest.raises(ValueError, match=why):
        ClassRule(**settings)


@pytest.mark.parametrize("binary", [0, 1], ids=["text", "binary"])
@pytest.mark.parametrize("transform", [Transform.HASH, Transform.TOKEN, Transform.PARTIAL, Transform.GENERALISE])
def test_elements_of_arrays_are_changed(transform: Transform, binary: int) -> None:
    """Each as it would be by itself; their number and nulls stay."""
    codec = codec_of(1009, -1, binary)
    assert codec is not None
    around: list[bytes] = [b"{", b",", b"}"]
    if binary:
        around = [bytes.fromhex("00000001 00000001 00000019 00000002 00000001")]
    cell = codec.encode((around, ["lovelace, ada", None]))
    described = Column("c", None, ValueKind.STRUCTURED, codec=codec)
    (got,) = MINE.replacer(RULES[transform], "pii", described).cells([cell])
    assert got is not None
    assert codec.decode(got) == (around, [changed(transform, TEXT, "lovelace, ada"), None])
    assert MINE.replacer(RULES[Transform.REDACT], "pii", described).cells([cell]) == [None]


def test_repeated_values_are_remembered_within_bounds() -> None:
    """A million different ones do not stay, and long ones neither."""
    replacer = MINE.replacer(RULES[Transform.HASH], "pii", column(TEXT))
    for batch in range(5):
        cells: list[bytes | None] = [b"%d" % number for number in range(batch * 1000, batch * 1000 + 1000)]
        assert replacer.cells([*cells, b"x" * 4096]) == [MINE.hash(cell) for cell in [*cells, b"x" * 4096] if cell]
        kept = replacer._known
        assert len(kept) <= 1024
        assert all(len(cell) <= 256 for cell in kept)
