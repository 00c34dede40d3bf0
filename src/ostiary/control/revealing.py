"""What tokens of a class stand for, told to those who may see the class. It is in the audit log before it is told."""

from collections.abc import Mapping, Sequence
from typing import Final

from ostiary.control.access import Access, Caller, Denied
from ostiary.control.changes import Changes
from ostiary.core import Refusal, RefusalKind, Target
from ostiary.masking import MaskingConfig, Transform
from ostiary.masking.transforms import Transforms
from ostiary.policy import CedarPolicy, ControlAction

MAX_TOKENS: Final = 100
MAX_TOKEN: Final = 4096


class Revealing:
    """The use-case.

    Args:
        access: who may.
        changes: the audit log.
        policy: in force.
        targets: declared, by name.
        masking: in force.
    """

    def __init__(
        self,
        access: Access,
        changes: Changes,
        policy: CedarPolicy,
        targets: Mapping[str, Target],
        masking: MaskingConfig,
    ) -> None:
        self._access = access
        self._changes = changes
        self._policy = policy
        self._targets = targets
        self._masking = masking

    def adopt(self, masking: MaskingConfig) -> None:
        """Another one is in force."""
        self._masking = masking

    async def reveal(self, caller: Caller, target: str, data_class: str, tokens: Sequence[str]) -> list[str]:
        """The values, in order; takes `view` on the target and `unmask` on the class.

        Raises Denied, ValueError for what is no token of the class at the target, OSError when it can't be recorded.
        """
        permission = self._access.require(caller, ControlAction.VIEW, target)
        found = self._targets.get(target)
        if found is None or not self._policy.rights(caller.principal, found, caller.source).may_unmask(data_class):
            why = f'unmask of "{data_class}" at {target} is not permitted'
            raise Denied(Refusal(RefusalKind.POLICY, why, "ask for a rule that permits `unmask` on the class"))
        rule = self._masking.rules.get(data_class)
        if rule is None or rule.transform is not Transform.TOKEN:
            raise ValueError(f'values of "{data_class}" are not masked by `token`, and can\'t be revealed')
        if not 1 <= len(tokens) <= MAX_TOKENS or any(len(token) > MAX_TOKEN for token in tokens):
            raise ValueError(f"give 1 to {MAX_TOKENS} tokens of at most {MAX_TOKEN} characters")
        class_tokens = Transforms(target, self._masking.key).token(data_class)
        revealed = [class_tokens.reveal(token) for token in tokens]
        told = {"target": target, "tokens": list(tokens)}
        async with self._changes.making(permission, f"masking/{data_class}/reveal", {}, told):
            return revealed
