"""How documents of an issuer are had."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

#: Discovery documents and key sets larger than this are refused. Real ones are a few KiB, x5c chains a few dozen.
MAX_DOCUMENT_BYTES: Final = 256 * 1024


class FetchError(Exception):
    """A document could not be had, or is not what it must be.

    Its text is a clause for people, about the issuer: "it answered with status 503".
    """


@dataclass(frozen=True, slots=True)
class Access:
    """What it takes to be answered by a server that is not a public one, such as a cluster's API."""

    #: PEM file of the authorities that alone are trusted for it.
    ca_file: Path | None = None
    #: File with the bearer token (RFC 6750) that it asks for; read at each fetch, as kubelets renew it.
    token_file: Path | None = None


PUBLIC: Final = Access()


class Fetch(Protocol):
    """GET, nothing else."""

    async def get(self, url: str, access: Access = PUBLIC) -> bytes:
        """The body. Raises FetchError, or anything else, when there is none."""
        ...
