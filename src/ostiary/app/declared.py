"""What is declared: by the files, and through the API; and whether both together would load."""

from collections.abc import Mapping, Sequence

from ostiary import config
from ostiary.app.check import problems_of
from ostiary.config import ConfigError, Settings
from ostiary.control.declarations import NotLoadable
from ostiary.policy import CedarPolicy
from ostiary.resources import Declared, Key, ResourceKind, StoredResource


def declared_by(settings: Settings, policy: CedarPolicy) -> Mapping[Key, Declared]:
    """Every entry of the configuration's files, and every rule of the files of policies."""
    rules = {
        Key(ResourceKind.POLICY, rule.name): Declared(f"{rule.file}:{rule.line}", {"text": rule.text})
        for rule in policy.rules.rules.values()
        if rule.name not in settings.stored_policies
    }
    return {**settings.declared, **rules}


def check_with(settings: Settings, stored: Sequence[StoredResource]) -> None:
    """Read the files again, with these. Raises NotLoadable."""
    try:
        problems = problems_of(config.load(settings.path, stored))
    except ConfigError as error:
        problems = list(error.problems)
    if problems:
        # Who calls the API need not know where the gateway's files are.
        raise NotLoadable([each.replace(f"{settings.path.parent}/", "") for each in problems])
