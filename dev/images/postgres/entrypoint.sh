#!/usr/bin/env bash
# First start: makes a database cluster in $PGDATA from POSTGRES_PASSWORD (or POSTGRES_HOST_AUTH_METHOD=trust),
# POSTGRES_USER and POSTGRES_DB, and runs /docker-entrypoint-initdb.d/*.{sh,sql}. Later starts: only the server.
set -euo pipefail
[ "${1:-postgres}" = postgres ] || exec "$@"
shift || true

if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"
  chown postgres:postgres "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" postgres "$@"
fi

# initdb and postgres need a name for their uid; Kubernetes may run this image as any.
if ! id -un >/dev/null 2>&1; then
  echo "docker-entrypoint.sh: uid $(id -u) is not in /etc/passwd; run this image as 999 or as root" >&2
  exit 1
fi

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
    echo 'docker-entrypoint.sh: set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust' >&2
    exit 1
  fi
  mkdir -p "$PGDATA"
  chmod 0700 "$PGDATA" 2>/dev/null || true # a volume's root may belong to someone else; initdb then says so
  initdb --username="$user" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-unused}") --auth-local=trust --auth-host="$method"
  printf 'host all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
  pg_ctl --wait start --options="-c listen_addresses='' -c unix_socket_directories=/tmp"
  sql() { psql --set=ON_ERROR_STOP=1 --no-psqlrc --host=/tmp --username="$user" "$@"; }
  [ "$database" = postgres ] || sql --dbname=postgres --set="name=$database" <<<'CREATE DATABASE :"name";'
  for script in /docker-entrypoint-initdb.d/*; do
    case $script in
      *.sh) . "$script" ;;
      *.sql) sql --dbname="$database" --file="$script" ;;
    esac
  done
  pg_ctl --wait stop --mode=fast
fi
exec postgres -c listen_addresses='*' "$@"
