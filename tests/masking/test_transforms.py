"""Values and what becomes of them."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.core import Column, Secret, ValueKind
from ostiary.masking import ClassRule, MaskingConfig, Transform
from ostiary.masking.transforms import MAX_PARTIAL, Transforms, partial

TEXT = Column("c", None, ValueKind.TEXT)
MINE = Transforms("orders", Secret(b"k" * 32))


def cells(transform: Transform, column: Column, values: list[bytes | None]) -> list[bytes | None]:
    """A column's values of one class, replaced."""
    return MINE.replacer(ClassRule(transform), "pii", column).cells(values)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ada.lovelace@example.com", "a***@e***.com"),
        ("ab@ab.io", "***@***.io"),
        ("ada@mail.example.co.uk", "a***@m***.uk"),
        ("ada@canary.secretsecret", "a***@c***"),
        ("ada@localhost", "a***@***"),
        ("ada@example.c0m", "a***@e***"),
        ("ada@home@example.com", "a***@e***.com"),
        ("@", "***@***"),
        ("4111 1111 1111 1111", "************1111"),
        ("4111-1111-1111-1111", "************1111"),
        ("378282246310005", "***********0005"),
        ("+49 30 901820", "+49***20"),
        ("DE89 3704 0044 0532 0130 00", "DE89***00"),
        ("Lovelace", "L***e"),
        ("Ada", "***"),
        ("", "***"),
        ("seven77", "***"),
        ("Zoë Müller-Lüdenscheid", "Z***d"),
        ("x" * (MAX_PARTIAL + 1), "[redacted]"),
    ],
)
def test_partial(value: str, shown: str) -> None:
    """Each format shows what the documentation says it shows."""
    assert partial(value) == shown


@given(st.text(max_size=60))
def test_partial_shows_at_most_six_characters(value: str) -> None:
    """Whatever the value, no more than six of its characters come out, and none of a short one that has no format."""
    shown = partial(value)
    assert len(shown.replace("*", "")) <= 8, shown
    if len(value) < 8 and "@" not in value:
        assert shown == "***"


@pytest.mark.parametrize("transform", [t for t in Transform if t is not Transform.KEEP])
@pytest.mark.parametrize("kind", list(ValueKind))
def test_null_stays_null_and_non_text_becomes_null(transform: Transform, kind: ValueKind) -> None:
    """The output is valid for the column's type: text for text, null for everything else."""
    column = Column("c", None, kind)
    got = cells(transform, column, [b"secret value", None])
    assert got[1] is None
    assert (got[0] is None) == (kind is not ValueKind.TEXT or transform is Transform.NULL)
    assert b"secret value" not in got


def test_hash_joins_within_a_target_and_not_across() -> None:
    """Equal values of one target have one hash; another target's or another key's differs."""
    (one, two, other) = cells(Transform.HASH, TEXT, [b"ada", b"ada", b"bob"])
    assert one == two != other
    assert one is not None
    assert len(one) == 32
    assert one.isalpha()
    assert Transforms("orders", Secret(b"k" * 32)).hash(b"ada") == one
    assert Transforms("billing", Secret(b"k" * 32)).hash(b"ada") != one
    assert Transforms("orders", Secret(b"l" * 32)).hash(b"ada") != one


@pytest.mark.parametrize("rules", [{"a": ClassRule(Transform.HASH)}])
@pytest.mark.parametrize("key", [None, Secret(b"short")])
def test_hash_needs_a_key(rules: dict[str, ClassRule], key: Secret | None) -> None:
    """A configuration that hashes without a key does not load."""
    with pytest.raises(ValueError, match="needs a key"):
        MaskingConfig(rules=rules, key=key)


def test_a_value_that_is_not_utf8_is_redacted() -> None:
    """Bytes that do not decode are not shown in part."""
    assert cells(Transform.PARTIAL, TEXT, [b"\xff\xfe secret"]) == [b"[redacted]"]


@pytest.mark.parametrize("charset", ["latin-1", "shift_jis", "utf-16-le"])
def test_other_charsets(charset: str) -> None:
    """Another charset's cell is decoded, masked and encoded again."""
    column = Column("c", None, ValueKind.TEXT, charset=charset)
    got = cells(Transform.PARTIAL, column, ["lovelace@example.com".encode(charset), None])
    assert got == ["l***@e***.com".encode(charset), None]
    assert cells(Transform.REDACT, column, ["x".encode(charset)]) == ["[redacted]".encode(charset)]


def test_an_unknown_charset_is_nulled() -> None:
    """What can't be encoded can't be replaced by text."""
    column = Column("c", None, ValueKind.TEXT, charset="klingon")
    with pytest.raises(LookupError):
        codecs.lookup("klingon")
    assert cells(Transform.REDACT, column, [b"x"]) == [None]
