"""FF1 against NIST's samples, and permutations of ranges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.masking.ff1 import FF1, MIN_DOMAIN, Permutation

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
KEY_128 = "2b7e151628aed2a6abf7158809cf4f3c"
KEY_192 = f"{KEY_128}ef4359d8d580aa4f"
KEY_256 = f"{KEY_192}7f036d6f04fc6a94"
SHORT = "39383736353433323130"
LONG = "3737373770717273373737"


@pytest.mark.parametrize(
    ("key", "radix", "tweak", "plain", "cipher"),
    [
        (KEY_128, 10, "", "0123456789", "2433477484"),
        (KEY_128, 10, SHORT, "0123456789", "6124200773"),
        (KEY_128, 36, LONG, "0123456789abcdefghi", "a9tv40mll9kdu509eum"),
        (KEY_192, 10, "", "0123456789", "2830668132"),
        (KEY_192, 10, SHORT, "0123456789", "2496655549"),
        (KEY_192, 36, LONG, "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"),
        (KEY_256, 10, "", "0123456789", "6657667009"),
        (KEY_256, 10, SHORT, "0123456789", "1001623463"),
        (KEY_256, 36, LONG, "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
    ],
)
def test_nist_samples(key: str, radix: int, tweak: str, plain: str, cipher: str) -> None:
    """The nine samples NIST publishes for FF1 with SP 800-38G, both ways."""
    ff1 = FF1(bytes.fromhex(key), radix, bytes.fromhex(tweak))
    got = ff1.encrypt(int(plain, radix), len(plain))
    assert got == int(cipher, radix)
    assert ff1.decrypt(got, len(plain)) == int(plain, radix)
    assert all(digit in DIGITS[:radix] for digit in plain)


@given(st.integers(2, 62), st.integers(1, 60), st.randoms(use_true_random=False))
def test_what_is_encrypted_can_be_decrypted(radix: int, length: int, random: object) -> None:
    """For every radix and length of a large enough domain, also where a half takes more than one block."""
    size = radix**length
    value = random.randrange(size)  # type: ignore[attr-defined]
    ff1 = FF1(bytes(32), radix)
    if size < MIN_DOMAIN:
        with pytest.raises(ValueError, match="fewer than"):
            ff1.encrypt(value, length)
        return
    assert ff1.decrypt(ff1.encrypt(value, length), length) == value


@given(st.integers(MIN_DOMAIN, 1 << 70), st.data())
def test_a_permutation_stays_within_its_range(size: int, data: st.DataObject) -> None:
    """Every value has another within the range, and gets back from it."""
    value = data.draw(st.integers(0, size - 1))
    permutation = Permutation(bytes(range(32)))
    got = permutation.apply(value, size)
    assert 0 <= got < size
    assert permutation.revert(got, size) == value


def test_a_small_range_is_not_permuted() -> None:
    """Whoever sees enough of it would have a dictionary of all."""
    with pytest.raises(ValueError, match="fewer than 1000000"):
        Permutation(bytes(16)).apply(1, MIN_DOMAIN - 1)
