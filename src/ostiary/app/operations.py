"""The use-cases on a gateway's state, whether or not it runs."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from ostiary.accounts import AccountRepository
from ostiary.approvals import ApprovalRepository
from ostiary.config import Settings
from ostiary.control import Operations, ServiceAccounts
from ostiary.control.access import Access
from ostiary.control.changes import Changes
from ostiary.control.declarations import Declarations, HostOperator
from ostiary.control.inventory import Inventory
from ostiary.control.local_admin import LocalAdminLink
from ostiary.control.paging import Reader
from ostiary.core import Action, Principal, Proof, Target
from ostiary.credentials import StaticCredential
from ostiary.masking import MaskingConfig
from ostiary.policy import CedarPolicy
from ostiary.protocols.registry import PROTOCOLS
from ostiary.recording import AuditLog, FileRecording, Signer
from ostiary.signin.repository import PeopleRepository

if TYPE_CHECKING:
    from ostiary.store import Store


def operations_of(settings: Settings) -> Operations:
    """Nothing is opened before it is used."""

    @asynccontextmanager
    async def approvals() -> AsyncIterator[ApprovalRepository]:
        async with _store(settings) as store:
            yield store.approvals

    @asynccontextmanager
    async def accounts() -> AsyncIterator[AccountRepository]:
        async with _store(settings) as store:
            yield store.accounts

    @asynccontextmanager
    async def people() -> AsyncIterator[PeopleRepository]:
        async with _store(settings) as store:
            yield store.people

    @asynccontextmanager
    async def declarations() -> AsyncIterator[Declarations]:
        # What looks at everything that a configuration points at takes longer to load than most commands to run.
        from ostiary.app.declared import check_with, declared_by

        there = declared_by(settings, CedarPolicy(settings.policies, time.time))
        async with _store(settings) as store:
            with _changes(settings) as changes, closing(Reader()) as reader:
                check = partial(check_with, settings)
                yield Declarations(
                    HostOperator(), changes, store.resources, lambda: there, check, None, reader, time.time
                )

    return Operations(
        identify=lambda proof: _identify(settings, proof),
        policies=settings.policies,
        approval_groups=settings.approvals,
        targets={target.name: target for target in settings.targets},
        credentials=kinds_of(settings),
        recordings=settings.recordings,
        recording_key=settings.recording_key,
        approvals=approvals,
        service_accounts=ServiceAccounts(
            accounts, tuple(target.name for target in settings.targets), lambda: _changes(settings), time.time
        ),
        local_admin=LocalAdminLink(
            people, lambda: _changes(settings), settings.url if settings.api is not None else "", time.time
        ),
        declarations=declarations,
        judge=judged,
    )


@asynccontextmanager
async def _store(settings: Settings) -> "AsyncIterator[Store]":
    from ostiary.store import Store

    store = await Store.open(settings.state_url(), create=False)
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def _changes(settings: Settings) -> Iterator[Changes]:
    """An audit log of this process."""
    recording = FileRecording(settings.recordings, Signer.load(settings.recording_key), time.time, settings.fsync)
    try:
        audit = AuditLog(recording)
        try:
            yield Changes(audit.write)
        finally:
            audit.close()
    finally:
        recording.close()


def kinds_of(settings: Settings) -> dict[str, str]:
    """Kind of credential by target name, as `type:` names it."""
    return {
        name: "static" if isinstance(credential, StaticCredential) else "postgres-role"
        for name, credential in settings.credentials.items()
    }


def inventory_of(
    settings: Settings,
    access: Access,
    policy: CedarPolicy,
    targets: Mapping[str, Target],
    masking: MaskingConfig,
    problems: Callable[[], Sequence[str]],
) -> Inventory:
    """What is declared, for whoever may see it. `targets`, `problems`: at each moment."""
    return Inventory(
        access,
        policy,
        targets,
        kinds_of(settings),
        settings.issuers,
        masking,
        judged,
        time.time,
        problems,
    )


def judged(target: Target, text: str) -> Action:
    """A statement as the gate would see it without a catalogue of the server. Raises ValueError."""
    return PROTOCOLS[target.protocol]().judged(target, text)


async def _identify(settings: Settings, proof: Proof) -> Principal:
    from ostiary.identity import HttpFetch, Identities

    return await Identities(settings.trusted, HttpFetch(), time.time, beside=settings.people).identify(proof)
