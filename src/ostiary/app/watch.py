"""Follows the configuration: its file, the policies, the files they point at, and what is stored through the API.

A stamp is asked every second. What changed on disk is read once it has kept still for one more look, so that a file
that is being written is not taken for what it will be. What can't be used leaves in force what was.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import structlog

from ostiary import config
from ostiary.app.adoption import Adoption
from ostiary.app.check import problems_of
from ostiary.config import ConfigError, Settings
from ostiary.credentials import FileSource
from ostiary.identity import OidcIssuer, SamlIssuer, X509Issuer
from ostiary.policy import PolicyError
from ostiary.resources import StoredResources
from ostiary.store import Store, StoreError
from ostiary.telemetry import families

log = structlog.get_logger()

POLL_SECONDS: Final = 1.0

#: Path, time, size and number of each file.
Stamp = tuple[tuple[str, int, int, int], ...]


class Watch:
    """See the module.

    Args:
        adoption: what follows.
        store: where further resources are.
        seen: `stamp` of the settings in force, taken before they were read.
        revision: of what is stored, as it is in force.
    """

    def __init__(self, adoption: Adoption, store: Store, seen: Stamp, revision: int) -> None:
        self._adoption = adoption
        self._store = store
        self._seen = seen
        self._revision = revision
        self._now = asyncio.Event()
        self._loading = asyncio.Lock()
        #: Why the latest configuration is not in force; empty: it is.
        self.problems: tuple[str, ...] = ()
        self._told: tuple[tuple[str, ...], Stamp] = ((), seen)

    def hurry(self) -> None:
        """Read everything again now."""
        self._now.set()

    async def run(self) -> None:
        """Until cancelled."""
        settling: Stamp | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._now.wait()
            hurried = self._now.is_set()
            self._now.clear()
            found = await asyncio.to_thread(stamp, self._adoption.settings)
            quiet = found in (self._seen, settling)
            settling = found
            if hurried or (found != self._seen and quiet) or (quiet and await self._stored_anew()):
                await self._load(found)

    async def adopted(self) -> bool:
        """Put what is stored into force now, unless it can't be used; then False."""
        await self._load(self._seen)
        return not self.problems

    async def _stored_anew(self) -> bool:
        # A store that does not answer has nothing new to say.
        with contextlib.suppress(StoreError):
            return await self._store.resources.revision() != self._revision
        return False

    async def _load(self, found: Stamp) -> None:
        async with self._loading:
            adoption = self._adoption
            again = False
            try:
                stored = await self._store.resources.all()
                settings, problems = await asyncio.to_thread(_read, adoption.settings.path, stored)
                if settings is not None and not problems:
                    adoption.adopt(settings)
                self._revision = stored.revision
            except Exception as error:  # noqa: BLE001 - whatever it is, what is in force stays so
                again = isinstance(error, StoreError)
                problems = [str(error) if isinstance(error, StoreError | ValueError) else type(error).__name__]
            self.problems = tuple(problems)
            if not again:
                self._seen = found
            told, self._told = self._told, (self.problems, found)
            if problems and told != self._told:
                log.warning("configuration not adopted; the one before stays in force", problems=problems)
                self._reload_policies()

    def _reload_policies(self) -> None:
        """Rules that are right rule, whatever is wrong with the rest."""
        meter = self._adoption.meter
        try:
            log.info("policies reloaded", version=self._adoption.policy.reload())
            meter.count(families.RELOADS, "ok")
        except PolicyError as error:
            meter.count(families.RELOADS, "failed")
            problems = list(map(str, error.problems))
            log.warning("policies not reloaded; those before stay in force", problems=problems)


def _read(path: Path, stored: StoredResources) -> tuple[Settings | None, list[str]]:
    """The settings, and what is wrong with them or what they point at."""
    try:
        settings = config.load(path, stored.items)
    except ConfigError as error:
        return None, list(error.problems)
    return settings, problems_of(settings)


def stamp(settings: Settings) -> Stamp:
    """Changes when a file does that these settings were read from, or that they point at."""
    found = []
    for path in _files(settings):
        # One that is missing, or can't be looked at, is another than before, too.
        with contextlib.suppress(OSError):
            status = path.stat()
            found.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)


def _files(settings: Settings) -> Iterator[Path]:
    yield settings.path
    yield settings.policies
    with contextlib.suppress(OSError):
        if settings.policies.is_dir():
            yield from sorted(settings.policies.glob("*.cedar"))
    if settings.tls is not None:
        yield from _given(settings.tls.cert, settings.tls.key)
    if isinstance(settings.masking_key, FileSource):
        yield settings.masking_key.path
    for issuer in settings.issuers:
        match issuer:
            case X509Issuer():
                yield from (issuer.ca, *issuer.crl)
            case SamlIssuer():
                yield issuer.metadata
            case OidcIssuer():
                yield from _given(issuer.access.ca_file, issuer.jwks_file)
            case _:
                pass
    for target in settings.targets:
        yield from map(Path, _given(target.tls.ca, target.tls.cert, target.tls.key))


def _given(*paths: "Path | str | None") -> "Sequence[Path]":
    return [Path(each) for each in paths if each is not None]
