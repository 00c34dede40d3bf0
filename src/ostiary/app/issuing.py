"""Who lends the credentials of each target."""

import time
from collections.abc import Mapping
from dataclasses import replace

from ostiary.config import Settings
from ostiary.core import RecordingLevel, Target
from ostiary.credentials import (
    Issuer,
    PostgresAdmin,
    PostgresRoleCredential,
    PostgresRoleIssuer,
    StaticCredential,
    StaticIssuer,
)
from ostiary.runtime.dial import target_context

Credential = StaticCredential | PostgresRoleCredential


def reached(target: Target) -> Target:
    """What a connection to the target depends on; its labels and how it is recorded may change meanwhile."""
    return replace(target, labels={}, recording=RecordingLevel.SAMPLE)


def issuers_of(settings: Settings, old: Settings | None, known: Mapping[str, Issuer]) -> dict[str, Issuer]:
    """By target name: those of `old` settings that are as they were stay, with their connections."""
    before = {target.name: target for target in old.targets} if old is not None else {}
    issuers: dict[str, Issuer] = {}
    for target in settings.targets:
        name, credential = target.name, settings.credentials[target.name]
        if (
            old is not None
            and name in known
            and name in before
            and reached(before[name]) == reached(target)
            and old.credentials[name] == credential
        ):
            issuers[name] = known[name]
        elif isinstance(credential, StaticCredential):
            issuers[name] = StaticIssuer(credential)
        else:
            admin = PostgresAdmin(target, credential, target_context)
            issuers[name] = PostgresRoleIssuer(target, credential, admin, settings.node, time.time)
    return issuers
