"""Signed requests to principals, each step refusing what the next relies on.

plain text → form → server id → endpoint → date → STS → answer → partition → bound claims → groups
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Final

from ostiary.core import Principal, Proof
from ostiary.identity.aws.answer import Caller, NoCaller, parse_answer
from ostiary.identity.aws.issuer import CLAIMS, AwsIssuer, Endpoint
from ostiary.identity.aws.proof import SignedRequest, parse_proof
from ostiary.identity.aws.sts import Sts, StsUnavailable
from ostiary.identity.groups import GroupNames
from ostiary.identity.principal import principal_of
from ostiary.identity.refuse import NEW_TOKEN, refused
from ostiary.identity.rules import check_bound

#: Questions to STS at the same time; anybody can make one.
MAX_ASKING: Final = 32
_AGAIN: Final = "try again in a few seconds"


class AwsIdentity:
    """Has STS verify who signed a request.

    Args:
        issuers: No two have an audience in common.
        sts: asks STS.
        clock: Unix seconds.
        names: Group templates of all issuers.
        ask_seconds: Bound for a question to STS.

    Raises:
        ValueError: Two issuers have the same audience.
    """

    def __init__(
        self,
        issuers: Iterable[AwsIssuer],
        sts: Sts,
        clock: Callable[[], float],
        names: GroupNames,
        *,
        ask_seconds: float = 5.0,
    ) -> None:
        self._sts = sts
        self._clock = clock
        self._names = names
        self._ask_seconds = ask_seconds
        self._asking = 0
        self._issuers: dict[str, AwsIssuer] = {}
        for issuer in issuers:
            for audience in issuer.audiences:
                if audience in self._issuers:
                    raise ValueError(f'issuer "{issuer.name}": audience: "{audience}" is another issuer\'s')
                self._issuers[audience] = issuer

    async def identify(self, proof: Proof) -> Principal:
        """Verify the proof, which came privately, in full. Raises Refused(IDENTITY)."""
        raw = proof.token.reveal()
        request = parse_proof(raw)
        issuer = self._issuers.get(request.server_id)
        if issuer is None:
            raise refused("the request was signed for another server", "sign the audience of an issuer configured here")
        endpoint = issuer.endpoints.get(request.host)
        if endpoint is None or endpoint.region != request.region:
            raise refused(
                "the request was signed for an endpoint of STS that is not asked here",
                f'sign for {" or ".join(issuer.endpoints)}, or add the region to issuer "{issuer.name}"',
            )
        now = self._clock()
        expires_at = request.signed_at + issuer.max_age
        if now >= expires_at + issuer.leeway or request.signed_at > now + issuer.leeway:
            raise refused("the request was not signed just now", NEW_TOKEN)
        caller = await self._caller(request, endpoint)
        told = {name: getattr(caller, name) for name in CLAIMS}
        check_bound(issuer.name, issuer.bind, told)
        return principal_of(
            issuer,
            self._names,
            caller.arn,
            told,
            {name: value for name, value in told.items() if value is not None},
            now=now,
            expires_at=expires_at,
            # It is a proof for minutes: what bounds a session is its longest time alone.
            grace=math.inf,
            raw=raw,
        )

    async def _caller(self, request: SignedRequest, endpoint: Endpoint) -> Caller:
        if self._asking >= MAX_ASKING:
            raise refused("too many signed requests are being verified", _AGAIN)
        self._asking += 1
        try:
            async with asyncio.timeout(self._ask_seconds):
                answer = await self._sts.ask(endpoint.host, request.headers)
        except TimeoutError:
            raise refused("it can't be verified, STS did not answer in time", _AGAIN) from None
        except StsUnavailable as error:
            raise refused(f"it can't be verified, STS is not to be had: {error}", _AGAIN) from None
        finally:
            self._asking -= 1
        if answer.status >= 500 or answer.status == 429:
            raise refused(f"it can't be verified, STS answered with status {answer.status}", _AGAIN)
        if answer.status != 200:
            raise refused("STS does not know who signed it, or the signature has expired", NEW_TOKEN)
        if answer.content_type.partition(";")[0].strip().lower() != "text/xml":
            raise refused("it can't be verified, the answer of STS is not XML")
        try:
            caller = parse_answer(answer.body)
        except NoCaller as error:
            raise refused(str(error), "use the credentials of a role or a user") from None
        if caller.partition != endpoint.partition:
            raise refused("its caller is not of the partition that was asked")
        return caller
