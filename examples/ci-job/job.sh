#!/bin/sh
# psql through the gateway, as the GitHub Actions job that this runs in. Arguments go to psql; PGHOST, PGPORT, PGDATABASE,
# PGSSLMODE and PGSSLROOTCERT are the gateway's.
set -eu
: "${ACTIONS_ID_TOKEN_REQUEST_URL:?the job needs \`permissions: {id-token: write\}\`}"

# The header comes from standard input: command lines can be seen by other processes.
answer=$(printf 'header = "Authorization: bearer %s"\n' "$ACTIONS_ID_TOKEN_REQUEST_TOKEN" |
  curl --fail --silent --show-error --max-time 20 --config - "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=${AUDIENCE:-ostiary}")
PGPASSWORD=$(printf '%s' "$answer" | sed -n 's/.*"value" *: *"\([^"]*\)".*/\1/p')
PGUSER=ci
export PGPASSWORD PGUSER

exec psql --no-psqlrc --no-password --set ON_ERROR_STOP=1 "$@"
