"""The state store: SQLAlchemy on SQLite or PostgreSQL, migrated by Alembic; implements the services' repositories."""

from ostiary.store.errors import StoreError
from ostiary.store.store import Store

__all__ = ["Store", "StoreError"]
