"""Cursors: where the next page begins, bound to the list and the filters it is of.

A cursor is no secret and grants nothing: what a page shows is judged for each request anew.
"""

import base64
import binascii
import hashlib
import json
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from ostiary.api.problems import Unfit
from ostiary.control.paging import Page

T = TypeVar("T")
S = TypeVar("S")
Limit = Annotated[int, Query(ge=1, le=200, description="Items of a page, at most.")]
Cursor = Annotated[str, Query(max_length=600, pattern=r"^[A-Za-z0-9_-]*$", description="`next` of the page before.")]


class PageOut(BaseModel, Generic[T]):
    """A part of a list. A page may be short, even empty, and not be the last."""

    items: list[T]
    next: str | None = Field(description="Cursor of the next page; null: this is the last.", examples=[None])


def begin(cursor: str, kind: str, *filters: object) -> str:
    """The position that a cursor of this list, with these filters, stands for; "" without one. Raises Unfit: 422."""
    if not cursor:
        return ""
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        found = None
    match found:
        case [str(digest), str(position)] if digest == _digest(kind, filters) and len(position) <= 300:
            return position
        case _:
            raise Unfit(422, "cursor", "the cursor is not one of this list with these filters", "begin without cursor")


def page(found: Page[S], items: list[T], kind: str, *filters: object) -> PageOut[T]:
    """A page and the cursor of the next one."""
    cursor = None
    if found.next is not None:
        raw = json.dumps([_digest(kind, filters), found.next], separators=(",", ":")).encode()
        cursor = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return PageOut(items=items, next=cursor)


def _digest(kind: str, filters: tuple[object, ...]) -> str:
    return hashlib.sha256(json.dumps([kind, *map(str, filters)]).encode()).hexdigest()[:16]
