"""What is declared through the API: kept in the state store, merged with the configuration file, in force as it is.

A stored resource is one section of the configuration file. `config` merges and validates, `store` keeps, `control`
changes; nothing here knows how.
"""

from ostiary.resources.model import (
    MAX_DOCUMENT,
    MAX_RESOURCES,
    MAX_TOTAL,
    Declared,
    Key,
    ResourceKind,
    StoredResource,
    StoredResources,
    checked,
    encoded,
    title,
    within_bounds,
)
from ostiary.resources.repository import ResourceRepository

__all__ = [
    "MAX_DOCUMENT",
    "MAX_RESOURCES",
    "MAX_TOTAL",
    "Declared",
    "Key",
    "ResourceKind",
    "ResourceRepository",
    "StoredResource",
    "StoredResources",
    "checked",
    "encoded",
    "title",
    "within_bounds",
]
