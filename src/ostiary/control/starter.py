"""`ostiary init`: a configuration to begin with. What it writes passes `ostiary check` once its secrets exist."""

import errno
from pathlib import Path

_CONFIG = """\
# Ostiary's configuration. `ostiary check -c ostiary.yaml` validates it; relative paths are relative to this file.
server:
  url: ""                                # https://gw.example.com, shown in notices of held commands
  state: sqlite:state.db                 # approvals
  recordings: file://recordings          # one signed file a session
  recording_key: recording.key           # made on the first start; keep it from everyone else
  tls: auto                              # a certificate for loopback; in production {cert: gw.crt, key: gw.key}
  listen: {postgres: 127.0.0.1:6432}     # and api: 127.0.0.1:8443 for the REST API; see policies/start.cedar

issuers:                                 # whose tokens are believed
  - name: github
    type: github-actions
    audience: ostiary
    bind: {repository_owner: acme}       # your organisation: claims must have exactly these values
    groups: ["repo/{repository}", "environment/{environment}"]

targets:
  - name: orders                         # clients name it as their database
    protocol: postgres
    address: 127.0.0.1:5432
    database: orders
    tls: {mode: disable}                 # across a network: {mode: verify-full, ca: db-ca.pem}
    labels: {environment: development}
    credential:                          # a role for each session, gone when it ends
      type: postgres-role
      admin: {username: ostiary, password: {env: OSTIARY_ORDERS_ADMIN}}
      member_of: [app_rw]

policies: policies/                      # *.cedar

classification:                          # which columns hold what
  - {target: orders, object: public.customers.email, class: pii.email}
masking:                                 # and what clients see of it: redact, partial, hash, token …
  pii.email: {transform: partial}

approvals:                               # who may lift a `forbid` that carries @approval("dba")
  dba: {members: [{group: repo/acme/dba}], required: 1, timeout: 10m}
"""

_POLICY = """\
// Nothing is permitted that no rule permits, and a forbid wins over every permit.

@id("deploys-connect")
permit (
  principal in Group::"repo/acme/shop",
  action in [Action::"connect", Action::"session"],
  resource in Target::"orders"
);

@id("deploys-work")
permit (
  principal in Group::"repo/acme/shop",
  action in [Action::"read", Action::"insert", Action::"update", Action::"delete", Action::"define"],
  resource in Object::"orders/public"
);

// psql's \\d and drivers look up types and tables.
@id("catalog")
permit (
  principal in Group::"repo/acme/shop",
  action == Action::"read",
  resource
)
when { resource in [Object::"orders/pg_catalog", Object::"orders/information_schema"] };

// Who runs the gateway without an identity provider: see "People" in docs/identity.md.
@id("local-administrator")
permit (
  principal == Human::"ostiary:admin",
  action in [Action::"view", Action::"audit", Action::"approve", Action::"administer"],
  resource in Gateway::"ostiary"
);

// Who else may use the REST API. Only a rule that names these actions permits them.
// @id("operators")
// permit (
//   principal in Group::"repo/acme/operators",
//   action in [Action::"view", Action::"audit", Action::"administer"],
//   resource in Gateway::"ostiary"
// );
// @id("approvers")
// permit (
//   principal in Group::"repo/acme/dba",
//   action == Action::"approve",
//   resource in Target::"orders"
// );

@id("no-unbounded-delete")
forbid (principal, action == Action::"delete", resource)
unless { context.has_where };

@id("dba-approves-ddl")
@approval("dba")
forbid (principal, action == Action::"define", resource);
"""


def write(directory: Path) -> list[Path]:
    """Write the files, all or none; nothing is overwritten. Raises OSError with the file's name."""
    files = {directory / "ostiary.yaml": _CONFIG, directory / "policies" / "start.cedar": _POLICY}
    for path in files:
        if path.exists():
            raise FileExistsError(errno.EEXIST, "is there already", str(path))
    (directory / "policies").mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return list(files)
