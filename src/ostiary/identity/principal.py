"""Whom a verified proof is of: the last step of proofs of every kind."""

import hashlib
from collections.abc import Mapping

from ostiary.core import Principal
from ostiary.identity.claims import is_safe_text
from ostiary.identity.groups import GroupNames, UnfitClaim
from ostiary.identity.issuer import Issuer
from ostiary.identity.refuse import refused


def principal_of(
    issuer: Issuer,
    names: GroupNames,
    subject: str,
    claims: Mapping[str, object],
    shown: Mapping[str, str],
    *,
    now: float,
    expires_at: float,
    grace: float,
    raw: bytes,
    proof_id: object = None,
    what: str = "token",
) -> Principal:
    """Its principal.

    Args:
        issuer: whose proof it is.
        names: of the groups of all issuers.
        subject: checked.
        claims: what groups are made of.
        shown: those of them that records hold.
        now: Unix seconds.
        expires_at: Unix seconds, when the proof does.
        grace: seconds that a session may go on after that.
        raw: the proof, whose digest names it where `proof_id` can't.
        proof_id: what the proof calls itself, if it does.
        what: it is, in a refusal.

    Raises:
        Refused: A claim can't be made into a group.
    """
    try:
        groups = names.groups(issuer.templates, claims)
    except UnfitClaim as error:
        hint = f'change the claim, or the group templates of issuer "{issuer.name}"'
        raise refused(str(error), hint, what=what) from None
    return Principal(
        kind=issuer.kind,
        issuer=issuer.name,
        subject=subject,
        groups=groups,
        expires_at=expires_at,
        session_until=min(expires_at + grace, now + issuer.max_session),
        proof_id=proof_id if is_safe_text(proof_id, 128) else f"sha256:{hashlib.sha256(raw).hexdigest()[:32]}",
        claims=shown,
    )
