"""Tokens and what they stand for."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from ostiary.api.models.base import Given
from ostiary.control.revealing import MAX_TOKEN, MAX_TOKENS

Token = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TOKEN, pattern=r"^[\x21-\x7e]+$")]


class Revelation(Given):
    """What is to be revealed."""

    target: Annotated[str, Field(min_length=1, max_length=200, examples=["orders"])]
    tokens: Annotated[
        list[Token],
        Field(
            min_length=1, max_length=MAX_TOKENS, examples=[["tok1_" + "ab" * 20]], description="As results show them."
        ),
    ]


class RevealedOut(BaseModel):
    """The values, as text, in the order of the tokens."""

    values: list[str]
