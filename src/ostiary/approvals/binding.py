"""The digest that binds an approval to one command of one session.

SHA-256 over a canonical encoding: every item is preceded by its length or count as eight bytes, so no two different
requests encode alike. The first item is a nonce that only the process holding the connection knows. The digest covers
raw bind values, which are masked everywhere else in the row; without the nonce, whoever reads the store could guess a
card number and check the guess against the digest.
"""

import hashlib

from ostiary.approvals.model import Quorum
from ostiary.gate.ports import HoldRequest

_VERSION = "ostiary approval 1"


def digest(nonce: bytes, code: str, request: HoldRequest, quorums: tuple[Quorum, ...]) -> str:
    """Hex digest over code, session, action, principal, target, exact text, raw and shown parameters, and groups."""
    target = request.target
    hasher = hashlib.sha256()

    def add(*items: bytes | str | int | None) -> None:
        for item in items:
            match item:
                case None:
                    hasher.update(b"N")
                    continue
                case int():
                    raw = str(item).encode()
                case str():
                    raw = item.encode("utf-8", "surrogatepass")
                case bytes():
                    raw = item
            hasher.update(b"V" + len(raw).to_bytes(8) + raw)

    add(_VERSION, nonce, code, request.session_id, request.action_id)
    add(request.principal.issuer, request.principal.subject)
    add(target.name, target.protocol, target.host, target.port, target.database, request.action.text)
    add(len(request.action.parameters))
    for parameter in request.action.parameters:
        add(parameter.type, int(parameter.binary), parameter.value)
    add(len(request.parameters), *request.parameters)
    add(len(quorums))
    for quorum in quorums:
        add(quorum.group, quorum.required)
    return hasher.hexdigest()
