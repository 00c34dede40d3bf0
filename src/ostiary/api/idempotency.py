"""`Idempotency-Key`: a POST that is sent again is answered again, and carried out once.

Kept in memory, for this process, by caller: after a restart a key is new. Only what succeeded is kept. Secrets must
not be answered through here.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from ostiary.api.caller import CallerDep
from ostiary.api.problems import Unfit

#: Answers kept; the oldest go first.
MAX_KEPT: Final = 1024
#: Seconds that one is kept.
KEPT_SECONDS: Final = 86_400.0

M = TypeVar("M", bound=BaseModel)
Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$", examples=["6f1f0c2e"]),
]


@dataclass(slots=True)
class _Kept:
    """One key. `answer` None: it is being worked on."""

    request: bytes
    at: float
    answer: BaseModel | None = None


class Answers:
    """What was answered under which key."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds, monotonic."""
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    async def once(
        self, who: str, key: str, request: bytes, kind: type[M], work: Callable[[], Awaitable[M]]
    ) -> tuple[M, bool]:
        """The answer, and whether it is one from before. Raises Unfit: 409 while the first is worked on, 422."""
        now = self._clock()
        while self._kept and next(iter(self._kept.values())).at <= now - KEPT_SECONDS:
            self._kept.popitem(last=False)
        kept = self._kept.get((who, key))
        if kept is not None:
            if kept.request != request or not isinstance(kept.answer, kind | None):
                raise Unfit(422, "idempotency", "this Idempotency-Key was used for another request", "take a new one")
            if kept.answer is None:
                raise Unfit(409, "idempotency", "the request with this Idempotency-Key is worked on", "wait")
            return kept.answer, True
        if len(self._kept) >= MAX_KEPT:
            self._kept.popitem(last=False)
        mine = self._kept[who, key] = _Kept(request, now)
        try:
            mine.answer = answer = await work()
        except BaseException:
            if self._kept.get((who, key)) is mine:
                del self._kept[who, key]
            raise
        return answer, False


class Once:
    """Carries out the work of one request, once."""

    def __init__(self, answers: Answers, who: str, key: str | None, request: bytes, response: Response) -> None:
        self._answers = answers
        self._who = who
        self._key = key
        self._request = request
        self._response = response

    async def __call__(self, kind: type[M], work: Callable[[], Awaitable[M]]) -> M:
        """What the work gives, now or when it was sent first."""
        if self._key is None:
            return await work()
        answer, again = await self._answers.once(self._who, self._key, self._request, kind, work)
        if again:
            self._response.headers["Idempotency-Replayed"] = "true"
        return answer


async def once(request: Request, response: Response, caller: CallerDep, key: Key = None) -> Once:
    """For routes that change something."""
    answers = request.app.state.answers
    assert isinstance(answers, Answers)
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + await request.body()).digest()
    return Once(answers, caller.principal.id, key, digest, response)


OnceDep = Annotated[Once, Depends(once)]
