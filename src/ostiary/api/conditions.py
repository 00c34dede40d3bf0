"""Conditional requests on what is declared (RFC 9110, 13.1): entity tags that carry a revision.

A read's tag is `"rN.D"`: N the revision of the resource, D a digest of the body, since what is in force is part of it.
`If-Match` looks at N alone, so that the revision which a change was answered with, `"rN"`, will do too.
"""

import hashlib
import re
from typing import Annotated, Final

from fastapi import Depends, Header, Response
from pydantic import BaseModel

from ostiary.api.problems import Unfit
from ostiary.control.declarations import Seen

_TAG: Final = re.compile(r'(?:W/)?"r(\d{1,18})(?:\.[0-9a-f]+)?"')
IfMatch = Annotated[
    str | None, Header(alias="If-Match", max_length=500, description='ETag of a read, `"rN"` of a revision, or `*`.')
]
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", max_length=500, description="`*`: it must not be there.")
]


def seen(if_match: IfMatch = None, if_none_match: IfNoneMatch = None) -> Seen:
    """What the caller has seen. Raises Unfit: 422."""
    if if_none_match is not None and if_none_match.strip() != "*":
        raise Unfit(422, "invalid", "If-None-Match of a change is *, or is not there", "leave it out")
    if if_match is None:
        return Seen(none=if_none_match is not None)
    tags = [tag.strip() for tag in if_match.split(",")]
    found = frozenset(int(match[1]) for tag in tags if (match := _TAG.fullmatch(tag)))
    return (
        Seen(any=True, none=if_none_match is not None)
        if "*" in tags
        else Seen(revisions=found, none=if_none_match is not None)
    )


SeenDep = Annotated[Seen, Depends(seen)]


def tag(response: Response, revision: int | None, body: BaseModel) -> None:
    """Set the ETag of a read; what has no revision gets that of every other read."""
    if revision is not None:
        digest = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
        response.headers["ETag"] = f'"r{revision}.{digest[:16]}"'
