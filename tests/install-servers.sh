#!/bin/sh
# Installs the real servers that the tests drive, when this is Debian and we are root; otherwise says what is missing.
set -eu
[ -x /usr/lib/postgresql/15/bin/postgres ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing PostgreSQL 15 for the tests (apt)…"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-15 postgresql-client-15 >/dev/null
else
    echo "PostgreSQL 15 is not here: the tests that need it are skipped by name" >&2
fi
