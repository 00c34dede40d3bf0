"""Does it live, is it ready, what is it?"""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from fastapi.responses import Response

from ostiary.api.caller import CallerDep, Control
from ostiary.api.models.gateway import GatewayHealth, Health, Version
from ostiary.api.problems import problem, responses

#: Seconds that readiness may take to tell, and that an answer holds: whoever asks without a token asks nobody else.
READY_SECONDS = 3.0
HOLDS_SECONDS = 1.0


def build(version: Version, ready: Callable[[], Awaitable[bool]]) -> tuple[APIRouter, APIRouter]:
    """What needs no token, and what does. `ready`: does what the gateway stands on answer?"""
    outside, inside = APIRouter(tags=["health"]), APIRouter(tags=["health"])
    last: tuple[float, bool] = (float("-inf"), False)
    asking = asyncio.Lock()

    @outside.get("/healthz")
    async def live() -> Health:
        """The process answers. Needs no token."""
        return Health()

    @outside.get("/readyz", response_model=Health, responses=responses(503))
    async def is_ready() -> Health | Response:
        """Sessions can be opened: the state store answers, recordings can be written. Needs no token."""
        nonlocal last
        now = asyncio.get_running_loop().time()
        async with asking:
            if now - last[0] >= HOLDS_SECONDS:
                try:
                    async with asyncio.timeout(READY_SECONDS):
                        last = now, await ready()
                except Exception:  # noqa: BLE001 - whatever it is, it is not ready
                    last = now, False
        return Health() if last[1] else problem(503, "not-ready", "sessions can't be opened now", "see its log")

    @inside.get("/version")
    async def show_version(_: CallerDep) -> Version:
        """What runs. Any token that is believed will do."""
        return version

    @inside.get("/health")
    async def show_health(caller: CallerDep, control: Control) -> GatewayHealth:
        """Whether the process that answers runs with the latest configuration; takes `view` on the gateway."""
        return GatewayHealth.of(control.inventory.problems(caller))

    return outside, inside
