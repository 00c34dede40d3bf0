"""An identity that looks at nothing where too much failed: for callers who send token after token on one connection."""

from ostiary.core import Principal, Proof, RefusalKind
from ostiary.gate.attempts import Attempts, network_of, refusal
from ostiary.gate.ports import Identity, Refused


class LimitedIdentity:
    """Implements `Identity`."""

    def __init__(self, identity: Identity, attempts: Attempts) -> None:
        self._identity = identity
        self._attempts = attempts

    async def identify(self, proof: Proof) -> Principal:
        """Raises Refused: IDENTITY as who verifies does, CAPACITY where nothing is verified."""
        network = network_of(proof.source)
        wait = self._attempts.wait(network)
        if wait > 0.0:
            raise Refused(refusal(wait))
        try:
            principal = await self._identity.identify(proof)
        except Refused as refused:
            if refused.refusal.kind is RefusalKind.IDENTITY:
                self._attempts.failed(network)
            raise
        self._attempts.proven(network)
        return principal
