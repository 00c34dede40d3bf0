"""Groups from claims: `repo/{repository}`, `{groups}`, `k8s/{/kubernetes.io/namespace}`.

A group is what policies grant rights to, and claim values are often chosen by those who want the rights (a repository's
name, a branch's name). So a group's name must say, without doubt, which template made it and from which values:

1. A value must not contain the text that follows its placeholder, so the name can be read back in one way only.
2. A name belongs to the template, of any issuer, with the longest literal beginning that it starts with. What a
   template makes must belong to itself: `{groups}` of one issuer can't imitate `repo/{repository}` of another.

A claim that is missing, null or empty makes no group. One that is there and does not fit refuses the token: a policy
may forbid by group, and such a group must not be lost because a value was odd.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ostiary.identity.claims import find_claim, is_safe_text

MAX_GROUPS: Final = 256
_MAX_VALUE: Final = 256
_PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")


class UnfitClaim(ValueError):  # noqa: N818 - reads as what happened
    """A claim can't be made into a group. The text names the claim and the template, never the value."""


@dataclass(frozen=True, slots=True)
class GroupTemplate:
    """Literal texts around claims: `literals[0] {claims[0]} literals[1] …`."""

    text: str
    literals: tuple[str, ...]
    claims: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "GroupTemplate":
        """Raises ValueError with a sentence about the template."""
        literals, claims = _PLACEHOLDER.split(text)[::2], _PLACEHOLDER.findall(text)
        if not claims:
            raise ValueError(f'the group template "{text}" names no claim: write "{{claim}}" where its value goes')
        if any("{" in literal or "}" in literal for literal in literals):
            raise ValueError(f'the group template "{text}" has a brace without its partner')
        if not all(literals[1:-1]):
            raise ValueError(f'the group template "{text}" needs some text between two claims')
        return cls(text, tuple(literals), tuple(claims))

    @property
    def prefix(self) -> str:
        """The literal beginning."""
        return self.literals[0]

    def expand(self, claims: Mapping[str, object]) -> list[str]:
        """The groups these claims make. A list makes one group for each member, where it is the only claim.

        Raises:
            UnfitClaim: A claim is there, but can't stand in a group's name.
        """
        values = [find_claim(claims, name) for name in self.claims]
        if any(value is None or value == "" for value in values):
            return []
        if len(values) == 1 and isinstance(values[0], list):
            if len(values[0]) > MAX_GROUPS:
                raise UnfitClaim(f'the claim "{self.claims[0]}" has more than {MAX_GROUPS} members')
            return [self._fill([member]) for member in values[0]]
        return [self._fill(values)]

    def _fill(self, values: list[object]) -> str:
        name = self.prefix
        for claim, value, literal in zip(self.claims, values, self.literals[1:], strict=True):
            if not is_safe_text(value, _MAX_VALUE):
                raise UnfitClaim(f'the claim "{claim}" is not plain text that the group "{self.text}" can be made of')
            # Rule 1. Searching value and literal together also finds an occurrence that straddles them.
            if literal and (value + literal).find(literal) != len(value):
                raise UnfitClaim(f'the claim "{claim}" would make the group "{self.text}" ambiguous')
            name += value + literal
        return name


class GroupNames:
    """Rule 2, over the templates of all issuers."""

    def __init__(self, templates: Iterable[GroupTemplate]) -> None:
        self._prefixes = sorted({template.prefix for template in templates}, key=len, reverse=True)

    def groups(self, templates: Iterable[GroupTemplate], claims: Mapping[str, object]) -> frozenset[str]:
        """The groups of one principal. Raises UnfitClaim."""
        names: set[str] = set()
        for template in templates:
            for name in template.expand(claims):
                owner = next(prefix for prefix in self._prefixes if name.startswith(prefix))
                if owner != template.prefix:
                    raise UnfitClaim(f'a claim made the group template "{template.text}" imitate "{owner}…"')
                names.add(name)
        if len(names) > MAX_GROUPS:
            raise UnfitClaim(f"its claims make more than {MAX_GROUPS} groups")
        return frozenset(names)
