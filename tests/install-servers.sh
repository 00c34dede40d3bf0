#!/bin/sh
# Installs the real servers that the tests and the benchmarks drive, when this is Debian and we are root; otherwise says
# what is missing. postgresql-15 brings pgbench; pgbouncer is what the benchmarks compare with; chromium signs in.
set -eu
if [ ! -d tests/real/node_modules ] && command -v npm >/dev/null; then
    echo "installing node-postgres for the tests (npm)…"
    npm ci --prefix tests/real --silent --no-audit --no-fund || echo "npm failed: node-postgres is skipped by name" >&2
fi
missing=""
[ -x /usr/lib/postgresql/15/bin/postgres ] || missing="$missing postgresql-15"
[ -x /usr/lib/postgresql/15/bin/psql ] || missing="$missing postgresql-client-15"
[ -x /usr/sbin/pgbouncer ] || missing="$missing pgbouncer"
{ command -v chromium || command -v chromium-browser; } >/dev/null || missing="$missing chromium"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing for the tests (apt):$missing…"
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "not here:$missing. The tests that need them are skipped by name" >&2
fi
