"""The use-cases on a gateway's state, whether or not it runs."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ostiary.approvals import ApprovalRepository
from ostiary.config import Settings
from ostiary.control import Operations
from ostiary.core import Principal, Proof
from ostiary.credentials import PostgresRoleCredential, StaticCredential
from ostiary.protocols.registry import PROTOCOLS


def operations_of(settings: Settings) -> Operations:
    """Nothing is opened before it is used."""

    @asynccontextmanager
    async def approvals() -> AsyncIterator[ApprovalRepository]:
        from ostiary.store import Store

        store = await Store.open(settings.state_url(), create=False)
        try:
            yield store.approvals
        finally:
            await store.close()

    return Operations(
        identify=lambda proof: _identify(settings, proof),
        policies=settings.policies,
        approval_groups=settings.approvals,
        targets={target.name: target for target in settings.targets},
        credentials={name: _kind(credential) for name, credential in settings.credentials.items()},
        recordings=settings.recordings,
        recording_key=settings.recording_key,
        approvals=approvals,
        judge=lambda target, text: PROTOCOLS[target.protocol]().judged(target, text),
    )


def _kind(credential: StaticCredential | PostgresRoleCredential) -> str:
    """As `type:` names it."""
    return "static" if isinstance(credential, StaticCredential) else "postgres-role"


async def _identify(settings: Settings, proof: Proof) -> Principal:
    from ostiary.identity import HttpFetch, OidcIdentity

    return await OidcIdentity(settings.issuers, HttpFetch(), time.time).identify(proof)
