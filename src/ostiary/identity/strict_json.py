"""JSON that can be understood in one way only."""

import json
from typing import Any, NoReturn


def load_json(data: bytes) -> Any:
    """UTF-8, unique member names, no NaN and no Infinity.

    Raises:
        ValueError: It is none. The text is a clause for people and quotes nothing.
    """
    try:
        return _DECODER.decode(data.decode())
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON that can be read in one way only") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a member name occurs twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
