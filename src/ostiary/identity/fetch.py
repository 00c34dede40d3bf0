"""How documents of an issuer are had."""

from typing import Final, Protocol

#: Discovery documents and key sets larger than this are refused. Real ones are a few KiB, x5c chains a few dozen.
MAX_DOCUMENT_BYTES: Final = 256 * 1024


class FetchError(Exception):
    """A document could not be had, or is not what it must be.

    Its text is a clause for people, about the issuer: "it answered with status 503".
    """


class Fetch(Protocol):
    """GET, nothing else."""

    async def get(self, url: str) -> bytes:
        """The body. Raises FetchError, or anything else, when there is none."""
        ...
