"""How every error is told: `application/problem+json` (RFC 9457)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from ostiary.approvals import ApprovalError, Changed, NotAllowed, Settled, UnknownRequest
from ostiary.control import AccountChanged, AccountConflict, UnknownAccount
from ostiary.control.access import Denied
from ostiary.control.declarations import NotLoadable, Raced, Stale, Unconditional
from ostiary.control.inventory import NotFound
from ostiary.control.plan import Refused as ReadOnly
from ostiary.control.sessions import NotLive
from ostiary.control.verification import Busy
from ostiary.core import RefusalKind
from ostiary.gate.ports import Refused
from ostiary.recording import NoSuchSession
from ostiary.store import StoreError

log = structlog.get_logger()
MEDIA_TYPE = "application/problem+json"
#: Parts of a request that are told.
MAX_ERRORS = 20


class Invalid(BaseModel):
    """What is wrong with one part of a request."""

    place: str = Field(examples=["query.limit"])
    message: str = Field(examples=["Input should be less than or equal to 200"])


class Problem(BaseModel):
    """RFC 9457."""

    type: str = Field(examples=["urn:ostiary:problem:denied"])
    title: str = Field(examples=["Forbidden"])
    status: int = Field(examples=[403])
    #: A sentence: the thing and the reason.
    detail: str = Field(examples=["denied: no policy permits audit on the gateway"])
    #: The next step.
    hint: str | None = Field(None, examples=["ask the owner of the policy for a permit"])
    #: Rules that denied it.
    rules: list[str] | None = None
    #: What is wrong with the request, part by part.
    errors: list[Invalid] | None = None


class Unfit(Exception):  # noqa: N818 - reads as what happened
    """A request that can't be carried out as it is."""

    def __init__(self, status: int, name: str, detail: str, hint: str = "", *, errors: Sequence[Invalid] = ()) -> None:
        super().__init__(detail)
        self.errors = errors
        self.status = status
        self.name = name
        self.hint = hint


def problem(
    status: int,
    name: str,
    detail: str,
    hint: str = "",
    *,
    rules: Sequence[str] = (),
    errors: Sequence[Invalid] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response. `name`: the last part of its type."""
    told = Problem(
        type=f"urn:ostiary:problem:{name}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        hint=hint or None,
        rules=list(rules) or None,
        errors=list(errors) or None,
    )
    return JSONResponse(told.model_dump(exclude_none=True), status, dict(headers or {}), MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Tell these errors so. Whatever else is raised, the guard tells."""
    for kind, tell in _TOLD.items():
        app.add_exception_handler(kind, tell)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a router may answer beside its success, for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    refusal = error.refusal
    if refusal.kind is RefusalKind.CAPACITY:
        # The next one is for the door.
        return problem(429, "too-many", refusal.message, refusal.hint, headers=_LIMITED)
    if refusal.kind is not RefusalKind.IDENTITY:
        return problem(503, "unavailable", refusal.message, refusal.hint)
    return problem(401, "token", refusal.message, refusal.hint, headers={"WWW-Authenticate": _CHALLENGE})


_LIMITED = {"Connection": "close", "Retry-After": "2"}
_CHALLENGE = 'Bearer realm="ostiary", error="invalid_token"'


def _denied(_: Request, error: Exception) -> Response:
    assert isinstance(error, Denied)
    return problem(403, "denied", error.refusal.message, error.refusal.hint, rules=error.refusal.rules)


def _approval(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApprovalError)
    match error:
        case UnknownRequest():
            status, name = 404, "not-found"
        case NotAllowed():
            status, name = 403, "not-a-member"
        case Settled():
            status, name = 409, "settled"
        case Changed():
            status, name = 412, "changed"
        case _:
            status, name = 422, "invalid"
    return problem(status, name, str(error), error.hint)


def _missing(_: Request, error: Exception) -> Response:
    return problem(404, "not-found", str(error), error.hint if isinstance(error, NoSuchSession) else "")


def _unfit(_: Request, error: Exception) -> Response:
    assert isinstance(error, Unfit)
    return problem(error.status, error.name, str(error), error.hint, errors=error.errors)


def _busy(_: Request, error: Exception) -> Response:
    return problem(503, "busy", str(error), headers={"Retry-After": "10"})


def _conflict(_: Request, error: Exception) -> Response:
    return problem(409, "not-live", str(error))


def _read_only(_: Request, error: Exception) -> Response:
    return problem(409, "read-only", str(error), "change it there: the gateway follows its files")


def _raced(_: Request, error: Exception) -> Response:
    return problem(409, "raced", str(error), "try again")


def _taken(_: Request, error: Exception) -> Response:
    return problem(409, "conflict", str(error))


def _stale(_: Request, error: Exception) -> Response:
    return problem(412, "changed", str(error), "look again")


def _unconditional(_: Request, error: Exception) -> Response:
    return problem(428, "condition", str(error), "send If-Match with the ETag of what you have seen, or *")


def _not_loadable(_: Request, error: Exception) -> Response:
    assert isinstance(error, NotLoadable)
    errors = [Invalid(place=place, message=why) for place, _, why in (each.partition(": ") for each in error.problems)]
    what = "the configuration would not load with it, so nothing was changed"
    return problem(422, "not-loadable", what, "mend what `errors` names", errors=errors[:MAX_ERRORS])


def _store(_: Request, error: Exception) -> Response:
    del error
    return problem(503, "unavailable", "the state store failed", "try again; the gateway's log has the details")


def _disk(request: Request, error: Exception) -> Response:
    log.error("api: a request failed", request_id=request.scope.get("request_id"), exc_info=error)
    return problem(503, "unavailable", "the gateway's disk or network failed it", _SEE)


def _failed(_: Request, error: Exception) -> Response:
    # The guard logs it.
    return problem(500, "internal", f"the gateway failed inside ({type(error).__name__})", _SEE)


_SEE = "the gateway's log has the details, under the X-Request-Id of this response"


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem(404, "not-found", "there is no such resource", "see /api/v1/openapi.json")
    if error.status_code == 405:
        return problem(405, "method", "the resource does not have this method", headers=error.headers)
    return problem(error.status_code, "http", HTTPStatus(error.status_code).phrase, headers=error.headers)


def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # What was sent is not quoted: it may be a secret in the wrong place.
    errors = [Invalid(place=".".join(map(str, each["loc"]))[:200], message=_message(each)) for each in error.errors()]
    return problem(
        422, "invalid", "the request does not fit the schema", "see /api/v1/openapi.json", errors=errors[:MAX_ERRORS]
    )


def _message(found: Mapping[str, Any]) -> str:
    return "not JSON" if found["type"] == "json_invalid" else str(found["msg"])


_TOLD = {
    Refused: _refused,
    Denied: _denied,
    ApprovalError: _approval,
    NoSuchSession: _missing,
    NotFound: _missing,
    NotLive: _conflict,
    Busy: _busy,
    Unfit: _unfit,
    ReadOnly: _read_only,
    Raced: _raced,
    Stale: _stale,
    AccountChanged: _stale,
    AccountConflict: _taken,
    UnknownAccount: _missing,
    Unconditional: _unconditional,
    NotLoadable: _not_loadable,
    StoreError: _store,
    OSError: _disk,
    Exception: _failed,
    HTTPException: _http,
    RequestValidationError: _invalid,
}
