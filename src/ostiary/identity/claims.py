"""Finding claims, and telling text that may be shown and compared from text that may not."""

from collections.abc import Mapping
from typing import Final, TypeGuard

#: Claims worth a line in a recording when they are there.
_RECORDED: Final = (
    *("sub", "azp", "client_id", "email", "preferred_username", "name"),
    *(
        "repository",
        "ref",
        "environment",
        "workflow",
        "job_workflow_ref",
        "run_id",
        "run_attempt",
        "actor",
        "event_name",
    ),
    *("project_path", "pipeline_id", "job_id", "user_login", "/kubernetes.io/namespace", "/kubernetes.io/pod/name"),
)
_RECORDED_LENGTH: Final = 256


def find_claim(claims: Mapping[str, object], name: str) -> object:
    """The claim's value; None when it is missing or null.

    A name that begins with "/" is a JSON Pointer (RFC 6901) to a nested claim: `/kubernetes.io/namespace`.
    `email` counts as missing unless `email_verified` is true: some issuers let their users type any address.
    """
    if name in ("email", "/email") and claims.get("email_verified") is not True:
        return None
    if name[:1] != "/":
        return claims.get(name)
    value: object = claims
    for part in name[1:].split("/"):
        if not isinstance(value, dict):
            return None
        value = value.get(part.replace("~1", "/").replace("~0", "~"))
    return value


def is_safe_text(value: object, longest: int) -> TypeGuard[str]:
    """Is it printable text of bounded length, without spaces around it that nobody sees?"""
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable() and value == value.strip()


def recorded_claims(claims: Mapping[str, object]) -> dict[str, str]:
    """A bounded choice of claims for records; a value that was cut ends with "…", an unprintable one is left out."""
    found: dict[str, str] = {}
    for name in _RECORDED:
        value = find_claim(claims, name)
        if value is None:
            continue
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64:
            value = str(value)
        if isinstance(value, str) and value and value.isprintable():
            cut = len(value) > _RECORDED_LENGTH
            found[name.removeprefix("/")] = value[: _RECORDED_LENGTH - 1] + "…" if cut else value
    return found
