"""Logins of people, authorization codes, devices that wait, the local administrator."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds tables only."""
    op.create_table(
        "logins",
        sa.Column("login_id", sa.Text(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("claims", sa.JSON(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("login_id", name="pk_logins"),
    )
    op.create_index("ix_logins_handle", "logins", ["handle"], unique=True)
    op.create_index("ix_logins_issuer_subject", "logins", ["issuer", "subject"])
    op.create_table(
        "login_codes",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("challenge", sa.Text(), nullable=False),
        sa.Column("who", sa.JSON(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("login_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_login_codes"),
    )
    op.create_table(
        "device_requests",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("user_code", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("interval", sa.Double(), nullable=False),
        sa.Column("polled_at", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("who", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("digest", name="pk_device_requests"),
    )
    op.create_index("ix_device_requests_user_code", "device_requests", ["user_code"], unique=True)
    op.create_table(
        "local_admins",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("passkeys", sa.JSON(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("link_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_local_admins"),
    )
