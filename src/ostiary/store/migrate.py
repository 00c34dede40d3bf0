"""Brings a database to the schema of this version."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from ostiary.store.errors import StoreError

_SCRIPTS: Final = Path(__file__).parent / "migrations"


def migrate(connection: Connection) -> None:
    """Upgrade inside the caller's transaction, which must keep other processes out. Raises StoreError if newer."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    known = [revision.revision for revision in script.walk_revisions()]
    current = MigrationContext.configure(connection).get_current_heads()
    for revision in current:
        if revision not in known:
            raise StoreError(
                f"the state store has schema {revision}, and this version knows none newer than {known[0]}: "
                "run the newer version, or restore a backup made by this one"
            )
    if current != (known[0],):
        command.upgrade(config, "head")
