"""What the tour stands on: a database, a token issuer, a gateway in a process of its own, and three identities."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from ostiary.core import Secret
from ostiary.demo.database import ShopDatabase, shop_database
from ostiary.demo.gateway import AUDIENCE, DemoGateway, demo_gateway
from ostiary.identity.local_issuer import LocalIssuer

_TOKEN_SECONDS = 8 * 3600.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything the steps use."""

    database: ShopDatabase
    gateway: DemoGateway
    shop: Secret
    report: Secret
    dba: Secret

    def connect(self, token: Secret) -> "psycopg.Connection[tuple[object, ...]]":
        """As any program would: a connection string, and the token as its password."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.gateway.port,
            dbname="orders",
            user="whoever",
            password=token.reveal_text(),
            sslmode="verify-full",
            sslrootcert=str(self.gateway.certificate),
            autocommit=True,
        )


@contextmanager
def raised_stage(tell: Callable[[str], None]) -> Iterator[Stage]:
    """Everything up; at the end everything down, and its files removed. `tell` hears what is being waited for."""
    home = Path(tempfile.mkdtemp(prefix="ostiary-demo-"))
    try:
        tell("starting PostgreSQL, with a small shop in it")
        with shop_database() as database:
            tell("starting the token issuer and the gateway")
            with _Issuer() as issuer, demo_gateway(home, issuer.url, database) as gateway:

                def token(subject: str, *groups: str) -> Secret:
                    return issuer.mint(subject, AUDIENCE, _TOKEN_SECONDS, groups=list(groups))

                try:
                    yield Stage(
                        database,
                        gateway,
                        shop=token("shop-api", "service/shop-api"),
                        report=token("report-job", "service/report-job"),
                        dba=token("dba-ada", "dba"),
                    )
                finally:
                    tell("stopping")
    finally:
        shutil.rmtree(home, ignore_errors=True)


class _Issuer:
    """The local issuer on a loop of its own: the tour itself is an ordinary, blocking client."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.issuer = LocalIssuer()

    def __enter__(self) -> LocalIssuer:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.issuer.start(), self._loop).result(10)
        return self.issuer

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.issuer.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
