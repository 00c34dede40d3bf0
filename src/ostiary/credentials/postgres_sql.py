"""The statements by which session roles come and go, and how names get into them.

`CREATE ROLE` and its kin take no parameters, so names are quoted here: as identifiers, or as literals of characters
that need no escape. The password never appears: the server is given its SCRAM verifier.
"""

import hashlib
import hmac
import re
from base64 import b64encode
from datetime import UTC, datetime

from ostiary.core import Secret
from ostiary.credentials.config import PostgresRoleCredential

PREFIX = "ostiary_"
_TARGET_PART = 36
_LEASE_ID = re.compile(r"[A-Za-z0-9_-]{1,18}")
_MARK = re.compile(r"ostiary lease ([A-Za-z0-9_-]{1,18}) node [A-Za-z0-9._-]{1,64}")
#: What RFC 7677 section 4 asks for at least. The password has 256 random bits; more rounds would protect nothing.
SCRAM_ITERATIONS = 4096

#: One row: oid, comment, open connections, databases in which something is owned by or granted to the role.
#: Shared objects are dealt with in any database. Memberships go with the role.
ROLE = """
SELECT r.oid, shobj_description(r.oid, 'pg_authid'),
  (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid),
  ARRAY(SELECT DISTINCT coalesce(d.datname, current_database())::text
    FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid AND s.classid <> 'pg_auth_members'::regclass)
FROM pg_roles r WHERE r.rolname = $1"""

TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usesysid = $1"
#: Ends the admin connection with process $1; no row: it is gone.
TERMINATE_MAKER = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = $1 AND usename = current_user AND pid <> pg_backend_pid()"""

#: The server's own waiting for a backend's end looks every 100 ms only; most are gone in one.
PAUSE = "SELECT pg_sleep($1)"

#: Asked last, by the oid: a connection that was half-way in while the role was dropped would show here.
LEFT = """
SELECT (SELECT count(*) FROM pg_roles WHERE rolname = $1),
  (SELECT count(*) FROM pg_stat_activity WHERE usesysid = $2)"""

#: Roles whose time was over $1 seconds ago and that nobody uses: name and comment.
LEFTOVERS = """
SELECT r.rolname::text, shobj_description(r.oid, 'pg_authid') FROM pg_roles r
WHERE starts_with(r.rolname::text, 'ostiary_') AND r.rolvaliduntil < now() - make_interval(secs => $1)
  AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.usesysid = r.oid)
ORDER BY r.rolvaliduntil LIMIT 100"""


def role_name(target: str, lease_id: str) -> str:
    """`ostiary_<target>_<lease>`, at most 63 bytes. Raises ValueError for an id that could not stand in a name."""
    if not _LEASE_ID.fullmatch(lease_id):
        raise ValueError("a lease's id is 1 to 18 letters, digits, '_' or '-'")
    part = re.sub(r"[^a-z0-9]+", "_", target.lower())[:_TARGET_PART].strip("_")
    return f"{PREFIX}{part}_{lease_id}"


def mark(lease_id: str, node: str) -> str:
    """The comment by which a role is known to be ours."""
    return f"ostiary lease {lease_id} node {node}"


def marked(comment: object) -> str | None:
    """The lease's id when the comment is a mark of ours."""
    match = _MARK.fullmatch(comment) if isinstance(comment, str) else None
    return match[1] if match else None


def verifier(password: Secret, salt: bytes) -> str:
    """`SCRAM-SHA-256$…`, as PostgreSQL stores it (RFC 5803 section 3; catalog pg_authid, rolpassword)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.reveal(), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = (b64encode(part).decode() for part in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(SCRAM_ITERATIONS, *parts)


def create(name: str, comment: str, verifier: str, until: float, credential: PostgresRoleCredential) -> str:
    """One transaction: the role and its mark."""
    ends = datetime.fromtimestamp(until, UTC).isoformat()
    member_of = ", ".join(quoted(role) for role in credential.member_of)
    return (
        f"CREATE ROLE {quoted(name)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT NOREPLICATION NOBYPASSRLS "
        f"CONNECTION LIMIT {credential.connection_limit} PASSWORD '{verifier}' VALID UNTIL '{ends}'"
        + (f" IN ROLE {member_of}" if member_of else "")
        + f"; COMMENT ON ROLE {quoted(name)} IS '{comment}'"
    )


def lock_out(name: str) -> str:
    """No new connection from now on."""
    return f"ALTER ROLE {quoted(name)} NOLOGIN"


def join(name: str) -> str:
    """Membership is what lets an admin without superuser end the role's connections and take its objects."""
    return f"GRANT {quoted(name)} TO CURRENT_USER"


def hand_over(name: str, credential: PostgresRoleCredential) -> str:
    """In one database: objects get another owner, then privileges and default privileges go."""
    owner = credential.reassign_to or next(iter(credential.member_of), None)
    to = "CURRENT_USER" if owner is None else quoted(owner)
    return f"REASSIGN OWNED BY {quoted(name)} TO {to}; DROP OWNED BY {quoted(name)}"


def drop(name: str) -> str:
    """The end of the role."""
    return f"DROP ROLE {quoted(name)}"


def quoted(name: str) -> str:
    """An identifier (PostgreSQL manual, section 4.1.1)."""
    return '"' + name.replace('"', '""') + '"'
