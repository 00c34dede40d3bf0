"""The configuration file: read once, validated in full, frozen.

Every problem is found in one reading and points at its line. What comes out are the rooms' own types; nothing else in
the project reads YAML. Secrets never stand in the file: `{env: NAME}` and `{file: PATH}` say where they are.
"""

from ostiary.config.document import ConfigError
from ostiary.config.load import load, schema
from ostiary.config.pieces import Pieces, pieces
from ostiary.config.settings import ListenerTls, Settings

__all__ = ["ConfigError", "ListenerTls", "Pieces", "Settings", "load", "pieces", "schema"]
