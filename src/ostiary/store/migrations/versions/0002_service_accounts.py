"""Service accounts, their keys, and tokens that are good no more."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds tables only."""
    op.create_table(
        "service_accounts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("networks", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("disabled_at", sa.Double(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_service_accounts"),
    )
    op.create_table(
        "service_account_keys",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("material", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("last_used_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name="pk_service_account_keys"),
        sa.ForeignKeyConstraint(
            ["account"], ["service_accounts.name"], name="fk_service_account_keys_account_service_accounts"
        ),
    )
    op.create_index("ix_service_account_keys_account", "service_account_keys", ["account"])
    op.create_table(
        "spent_tokens",
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", name="pk_spent_tokens"),
    )
    op.create_index("ix_spent_tokens_until", "spent_tokens", ["until"])
