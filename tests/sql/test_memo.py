"""The memo stays within its bounds."""

from ostiary.sql import memo
from ostiary.sql.memo import Memo


def test_bounded_by_entries_and_characters() -> None:
    """Neither many keys nor long ones make it grow past two generations."""
    kept: Memo[int] = Memo()
    for number in range(4 * memo.MAX_ENTRIES):
        kept.put(f"{number}", number)
    assert len(kept._new) + len(kept._old) <= 2 * memo.MAX_ENTRIES
    for number in range(2000):
        kept.put(f"{number:08000}", number)
    assert sum(map(len, (*kept._new, *kept._old))) <= 2 * (memo.MAX_CHARACTERS + memo.MAX_KEY)


def test_what_is_used_survives() -> None:
    """A key that is asked for between turns stays."""
    kept: Memo[int] = Memo()
    kept.put("used", 1)
    for number in range(5 * memo.MAX_ENTRIES):
        kept.put(f"{number}", number)
        assert kept.get("used") == 1
    assert kept.get("0") is None


def test_long_keys_are_not_kept() -> None:
    """A text of a megabyte is analysed again rather than remembered."""
    kept: Memo[int] = Memo()
    kept.put("x" * (memo.MAX_KEY + 1), 1)
    assert kept.get("x" * (memo.MAX_KEY + 1)) is None
