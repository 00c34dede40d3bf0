"""Tokens nobody signed, and surroundings that hold what a test puts there."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from ostiary.client.sources import Surroundings

NOW = 1_800_000_000.0


def jwt(**claims: object) -> str:
    """For the audience "ostiary", good for a minute, unless said otherwise."""
    said = {"iss": "https://ci.example", "aud": "ostiary", "exp": NOW + 60, **claims}
    parts = ({"alg": "ES256"}, said)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "c2ln"])


def surroundings(environment: Mapping[str, str], root: Path = Path("/nowhere")) -> Surroundings:
    """At `NOW`."""
    return Surroundings(environment, lambda: NOW, root)
