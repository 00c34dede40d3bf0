"""An identity that looks at nothing where too much failed: for callers who send token after token on one connection.

A token that was good the last time is always looked at, so nobody who works is kept out by who fails beside them.
"""

import hashlib
from collections import OrderedDict
from typing import Final

from ostiary.core import Principal, Proof, RefusalKind
from ostiary.gate.attempts import Attempts, network_of, refusal
from ostiary.gate.ports import Identity, Refused

#: Tokens that are remembered, by their SHA-256.
_MAX_GOOD: Final = 4096


class LimitedIdentity:
    """Implements `Identity`."""

    def __init__(self, identity: Identity, attempts: Attempts) -> None:
        self._identity = identity
        self._attempts = attempts
        #: Longest unused first.
        self._good: OrderedDict[bytes, None] = OrderedDict()

    async def identify(self, proof: Proof) -> Principal:
        """Raises Refused: IDENTITY as who verifies does, CAPACITY where nothing is verified."""
        network, token = network_of(proof.source), hashlib.sha256(proof.token.reveal()).digest()
        if token not in self._good and (wait := self._attempts.wait(network)) > 0.0:
            raise Refused(refusal(wait))
        try:
            principal = await self._identity.identify(proof)
        except Refused as refused:
            if refused.refusal.kind is RefusalKind.IDENTITY:
                self._good.pop(token, None)
                self._attempts.failed(network)
            raise
        self._attempts.proven(network)
        self._good[token] = None
        self._good.move_to_end(token)
        if len(self._good) > _MAX_GOOD:
            self._good.popitem(last=False)
        return principal
