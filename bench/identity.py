"""`python -m bench.identity`: CPU of verifying a token whose issuer's keys are there, in microseconds, best of five.

Cold: a token that was not seen before. Warm: one that a pool sends again.
"""

import asyncio
import time

from joserfc.jwk import RSAKey
from tests.identity.fakes import AnyKey, World, ec_key, sign

from ostiary.core import Proof, Secret
from ostiary.identity.presets import Common, preset

TOKENS = 1000


async def measured(algorithm: str, key: AnyKey, *, cold: bool) -> float:
    """A token of GitHub's size, from bytes to a principal."""
    issuer = preset("github-actions", Common(name="ci", audiences=("ostiary",), bind={"repository_owner": "acme"}))
    world = World(issuer)
    world.web.publish(issuer.issuer, key)
    claims = {"repository": "acme/shop", "repository_owner": "acme", "event_name": "push", "ref": "refs/heads/main"}
    others = {f"claim_{index}": "x" * 30 for index in range(20)}
    payload = world.claims(iss=issuer.issuer, **claims, **others)
    proof = Proof(
        Secret(sign({"alg": algorithm, "kid": "k1"}, payload, key, algorithm)),
        "orders",
        "",
        encrypted=True,
        loopback=False,
    )
    await world.identity.identify(proof)
    rounds = []
    for _ in range(5):
        begun = time.process_time()
        for _ in range(TOKENS):
            if cold:
                world.identity._verified.clear()
            await world.identity.identify(proof)
        rounds.append((time.process_time() - begun) / TOKENS * 1e6)
    return min(rounds)


if __name__ == "__main__":
    for algorithm, key in (("RS256", RSAKey.generate_key(2048, {"kid": "k1"})), ("ES256", ec_key())):
        cold, warm = (asyncio.run(measured(algorithm, key, cold=each)) for each in (True, False))
        print(f"{algorithm}: cold {cold:.0f}, warm {warm:.0f}")
