"""Tables of the state store. Columns carry the names of the fields they hold; tuples are JSON, times unix seconds."""

from sqlalchemy import JSON, BigInteger, Column, Double, ForeignKey, Index, Integer, MetaData, Table, Text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    }
)

approvals = Table(
    "approvals",
    metadata,
    Column("code", Text, primary_key=True),
    Column("session_id", Text, nullable=False),
    Column("action_id", BigInteger, nullable=False),
    Column("principal_kind", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("principal_groups", JSON, nullable=False),
    Column("target", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("accesses", JSON, nullable=False),
    Column("summary", Text, nullable=False),
    Column("rules", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("quorums", JSON, nullable=False),
    Column("rows_estimate", BigInteger),
    Column("digest", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("node", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("votes", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("decided_at", Double),
    Column("note", Text, nullable=False),
    Index(None, "state", "expires_at"),
)

service_accounts = Table(
    "service_accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("groups", JSON, nullable=False),
    Column("targets", JSON, nullable=False),
    Column("networks", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("disabled_at", Double),
    Column("revision", Integer, nullable=False),
)

service_account_keys = Table(
    "service_account_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("account", Text, ForeignKey("service_accounts.name"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("material", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("last_used_at", Double),
    Index(None, "account"),
)

spent_tokens = Table(
    "spent_tokens",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("until", Double, nullable=False),
    Index(None, "until"),
)

resources = Table(
    "resources",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("document", JSON, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("changed_by", Text, nullable=False),
)

#: One row, which the migration made: the number of changes to `resources`.
resource_revision = Table("resource_revision", metadata, Column("revision", BigInteger, nullable=False))

logins = Table(
    "logins",
    metadata,
    Column("login_id", Text, primary_key=True),
    Column("handle", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("groups", JSON, nullable=False),
    Column("claims", JSON, nullable=False),
    Column("way", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index(None, "handle", unique=True),
    Index(None, "issuer", "subject"),
)

login_codes = Table(
    "login_codes",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("client", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("challenge", Text, nullable=False),
    Column("who", JSON, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("login_id", Text, nullable=False),
)

device_requests = Table(
    "device_requests",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("user_code", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("interval", Double, nullable=False),
    Column("polled_at", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("who", JSON(none_as_null=True)),
    Index(None, "user_code", unique=True),
)

local_admins = Table(
    "local_admins",
    metadata,
    Column("name", Text, primary_key=True),
    Column("password", Text, nullable=False),
    Column("passkeys", JSON, nullable=False),
    Column("link", Text, nullable=False),
    Column("link_until", Double, nullable=False),
)

session_owners = Table(
    "session_owners",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("node", Text, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
)

live_sessions = Table(
    "live_sessions",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("source", Text, nullable=False),
    Index(None, "owner"),
)

session_ends = Table(
    "session_ends",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("asked_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_at", Double, nullable=False),
)
