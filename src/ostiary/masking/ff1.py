"""FF1, format-preserving encryption (NIST SP 800-38G Rev. 1, algorithms 7 and 8), and a permutation of any range.

Own code: what the package index has is FF3, which NIST withdrew, or not kept up. The publication's sample vectors are
in the tests. Numeral strings are held as the integers they write, most significant numeral first.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

#: SP 800-38G Rev. 1, 5.2: with fewer values than this, all of them can be tried.
MIN_DOMAIN = 1_000_000
_ROUNDS = 10
_BLOCK = 16


@dataclass(frozen=True, slots=True)
class _Layout:
    """What depends on the number of numerals alone."""

    #: Numbers of values of the left and the right half.
    left: int
    right: int
    #: Bytes of a half in Q (b), and of a round's output (d).
    half: int
    output: int
    #: P under the cipher: the state of the CBC-MAC before Q.
    state: int
    #: Q up to the number of the round.
    head: bytes


class FF1:
    """FF1 under one key, radix and tweak.

    Args:
        key: of AES, 16, 24 or 32 bytes.
        radix: 2 to 65536.
        tweak: at most 256 bytes.
    """

    def __init__(self, key: bytes, radix: int, tweak: bytes = b"") -> None:
        cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - FF1 is built of single blocks
        self._cipher: Callable[[bytes], bytes] = cipher.encryptor().update
        self.radix = radix
        self._tweak = tweak
        self._layouts: dict[int, _Layout] = {}

    def encrypt(self, value: int, length: int) -> int:
        """`length` numerals, written by an integer below radix ** length. Raises ValueError under the least domain."""
        layout = self._layout(length)
        a, b = divmod(value, layout.right)
        for number in range(_ROUNDS):
            modulus = layout.right if number & 1 else layout.left
            a, b = b, (a + self._round(layout, number, b)) % modulus
        return a * layout.right + b

    def decrypt(self, value: int, length: int) -> int:
        """The inverse of `encrypt`."""
        layout = self._layout(length)
        a, b = divmod(value, layout.right)
        for number in reversed(range(_ROUNDS)):
            modulus = layout.right if number & 1 else layout.left
            a, b = (b - self._round(layout, number, a)) % modulus, a
        return a * layout.right + b

    def _layout(self, length: int) -> _Layout:
        known = self._layouts.get(length)
        if known is not None:
            return known
        if self.radix**length < MIN_DOMAIN:
            raise ValueError(f"fewer than {MIN_DOMAIN} values can't be encrypted among themselves")
        left = length // 2
        right = length - left
        half = ((self.radix**right - 1).bit_length() + 7) // 8
        header = b"\1\2\1" + self.radix.to_bytes(3, "big") + bytes((10, left % 256)) + length.to_bytes(4, "big")
        state = self._cipher(header + len(self._tweak).to_bytes(4, "big"))
        head = self._tweak + bytes((-len(self._tweak) - half - 1) % _BLOCK)
        layout = _Layout(
            self.radix**left, self.radix**right, half, 4 * ((half + 3) // 4) + 4, int.from_bytes(state, "big"), head
        )
        if len(self._layouts) >= 1024:
            self._layouts.clear()
        self._layouts[length] = layout
        return layout

    def _round(self, layout: _Layout, number: int, half: int) -> int:
        """Steps i to iv of a round."""
        q = layout.head + bytes((number,)) + half.to_bytes(layout.half, "big")
        cipher = self._cipher
        state = layout.state
        for at in range(0, len(q), _BLOCK):
            block = cipher((state ^ int.from_bytes(q[at : at + _BLOCK], "big")).to_bytes(_BLOCK, "big"))
            state = int.from_bytes(block, "big")
        out = block
        more = 1
        while len(out) < layout.output:
            out += cipher((state ^ more).to_bytes(_BLOCK, "big"))
            more += 1
        return int.from_bytes(out[: layout.output], "big")


class Permutation:
    """Keyed permutations of ranges: FF1 on bits, again and again until the result is within (cycle walking).

    Args:
        key: as of FF1; one for each use.
    """

    def __init__(self, key: bytes) -> None:
        self._bits = FF1(key, 2)

    def apply(self, value: int, size: int) -> int:
        """A value below `size` for each, none twice; two steps on average. Raises ValueError under the least domain."""
        return self._walk(self._bits.encrypt, value, size)

    def revert(self, value: int, size: int) -> int:
        """The inverse of `apply`."""
        return self._walk(self._bits.decrypt, value, size)

    def _walk(self, step: Callable[[int, int], int], value: int, size: int) -> int:
        if size < MIN_DOMAIN:
            raise ValueError(f"fewer than {MIN_DOMAIN} values can't be encrypted among themselves")
        bits = (size - 1).bit_length()
        value = step(value, bits)
        while value >= size:
            value = step(value, bits)
        return value
