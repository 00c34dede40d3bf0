"""Cancel keys of the gateway's own: which worker gave one out stands in its process id."""

from typing import Final

#: Bits of the process id below the worker's.
_BITS: Final = 25


def process_id(entropy: bytes, worker: int) -> bytes:
    """Four bytes, of four random ones. `worker`: 1 to 64; 0: there are none.

    It is public; it must not be zero, and some drivers read it as a signed number.
    """
    number = int.from_bytes(entropy, "big") & 0x7FFFFFFF | 1
    if worker:
        number = (worker - 1) << _BITS | number & (1 << _BITS) - 1
    return number.to_bytes(4, "big")


def worker_of(key: bytes) -> int:
    """Who gave this key out, if there are workers: 1 to 64; 0 where it is nobody's."""
    number = (int.from_bytes(key[:4], "big") >> _BITS) + 1
    return number if number <= 64 else 0
