"""What the registry knows of PostgreSQL (`wire.contract.Spoken`)."""

from collections.abc import Callable

from ostiary.core import Action, Refusal, Target
from ostiary.protocols.postgres import refuse
from ostiary.protocols.postgres.catalog import CatalogCache
from ostiary.protocols.postgres.engine import PostgresEngine
from ostiary.protocols.postgres.framing import STARTTLS
from ostiary.protocols.postgres.statements import Judge
from ostiary.sql import analyze
from ostiary.wire.contract import Engine, Listening


def engines(listening: Listening) -> Callable[[str, bool], Engine]:
    """Engines that share what they know of the targets."""
    catalogs = CatalogCache(listening.clock)

    def make(source: str, loopback: bool) -> Engine:
        return PostgresEngine(
            source,
            loopback=loopback,
            tls_offered=listening.tls_offered,
            plaintext=loopback and listening.plaintext_loopback,
            catalogs=catalogs,
            analyze=analyze,
            entropy=listening.entropy,
            worker=listening.worker,
        )

    return make


def judged(target: Target, text: str) -> Action:
    """A statement, judged without the server's catalogue. Raises ValueError when it can't be parsed."""
    return Judge(target, target.database, CatalogCache(lambda: 0.0), analyze).statement(text)


def starttls() -> tuple[bytes, bytes]:
    """An SSLRequest, and its answer."""
    return STARTTLS


def turn_away(refusal: Refusal) -> bytes:
    """A FATAL error, which clients take in place of the answer to their first packet."""
    return refuse.fatal(refusal)
