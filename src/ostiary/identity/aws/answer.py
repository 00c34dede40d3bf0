"""What STS says of the caller: the one document that `GetCallerIdentity` answers with, and an ARN that can be bound."""

import re
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

_SPACE: Final = "{https://sts.amazonaws.com/doc/2011-06-15/}"
_NAME: Final = r"[A-Za-z0-9_+=,.@-]"
_ROLE: Final = re.compile(
    rf"arn:(?P<partition>aws[a-z-]*):sts::(?P<account>[0-9]{{12}}):assumed-role/(?P<role>{_NAME}{{1,64}})/(?P<session>{_NAME}{{2,64}})"
)
_USER: Final = re.compile(
    rf"arn:(?P<partition>aws[a-z-]*):iam::(?P<account>[0-9]{{12}}):user/(?P<path>({_NAME}+/)*)(?P<user>{_NAME}{{1,64}})"
)


@dataclass(frozen=True, slots=True)
class Caller:
    """A role that was assumed, or a user."""

    partition: str
    account: str
    #: ARN of the role (without its path, which STS does not tell) or the user; without the session, a caller's choice.
    arn: str
    role: str | None = None
    session: str | None = None
    user: str | None = None


class NoCaller(ValueError):  # noqa: N818 - reads as what happened
    """It is no such answer, or one about somebody who can't be bound. The text is a clause for people."""


def parse_answer(body: bytes) -> Caller:
    """Raises NoCaller."""
    result = _result(body)
    account, arn = result["Account"], result["Arn"]
    if (found := _ROLE.fullmatch(arn)) is not None:
        role = f"arn:{found['partition']}:iam::{found['account']}:role/{found['role']}"
        caller = Caller(found["partition"], found["account"], role, role=found["role"], session=found["session"])
    elif (found := _USER.fullmatch(arn)) is not None:
        caller = Caller(found["partition"], found["account"], arn, user=found["path"] + found["user"])
    else:
        raise NoCaller("its caller is neither a role nor a user")
    if caller.account != account:
        raise NoCaller("STS tells of two accounts")
    return caller


def _result(body: bytes) -> dict[str, str]:
    try:
        text = body.decode()
        # No document type, so no entities; no comments and no CDATA, which could hide where a text begins or ends.
        if "<!" in text:
            raise NoCaller("the answer of STS is not its usual one")
        root = ET.fromstring(text)  # noqa: S314 - entities can't be declared, and the size is bounded
    except (ValueError, ET.ParseError):
        raise NoCaller("the answer of STS is not its usual one") from None
    results = root.findall(f"{_SPACE}GetCallerIdentityResult")
    if root.tag != f"{_SPACE}GetCallerIdentityResponse" or len(results) != 1:
        raise NoCaller("the answer of STS is to another question")
    told = [(child.tag.removeprefix(_SPACE), child.text or "") for child in results[0] if len(child) == 0]
    if sorted(name for name, _ in told) != ["Account", "Arn", "UserId"] or len(results[0]) != 3:
        raise NoCaller("the answer of STS does not tell of one caller")
    return dict(told)
