"""The gateway itself."""

from typing import Literal

from pydantic import BaseModel, Field


class Version(BaseModel):
    """What runs."""

    version: str = Field(examples=["0.1.0"])
    node: str = Field(description="`server.node` of the process that answers.", examples=["node-1"])


class Health(BaseModel):
    """It is as it should be."""

    status: Literal["ok"] = "ok"
