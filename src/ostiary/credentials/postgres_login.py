"""A lent credential, tried once: does the server let it in?"""

import ssl
from collections.abc import Callable
from typing import Final

import asyncpg

from ostiary.core import Lease, Target, TlsMode, TlsSettings

SECONDS: Final = 5.0


class LoginFailed(Exception):  # noqa: N818 - reads as what happened
    """The server did not let it in; the message is a sentence without the credential."""


async def log_in(target: Target, lease: Lease, context: Callable[[TlsSettings], ssl.SSLContext]) -> str:
    """What the server is, once it let the account in. Raises LoginFailed."""
    where = f"{target.host}:{target.port}"
    try:
        # Everything is said, so that PGPASSWORD, PGSSLMODE, .pgpass and their like have no say.
        connection = await asyncpg.connect(
            host=target.host,
            port=target.port,
            user=lease.username,
            password="" if lease.password is None else lease.password.reveal_text(),
            database=target.database,
            ssl=False if target.tls.mode is TlsMode.DISABLE else context(target.tls),
            timeout=SECONDS,
            command_timeout=SECONDS,
        )
    except TimeoutError:
        raise LoginFailed(f"{where} did not let it in within {SECONDS:g} s") from None
    except asyncpg.PostgresError as error:
        # The server's own words may hold anything; its code and class say what is wrong.
        raise LoginFailed(f"{where} refused it: {type(error).__name__} (SQLSTATE {error.sqlstate})") from None
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, ValueError) as error:
        raise LoginFailed(f"{where}: {type(error).__name__}") from None
    try:
        version = connection.get_server_version()
        return f"as {lease.username}, PostgreSQL {version.major}.{version.minor}"
    finally:
        connection.terminate()
