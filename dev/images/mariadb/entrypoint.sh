#!/usr/bin/env bash
# First start: makes an empty server from MARIADB_ROOT_PASSWORD and MARIADB_DATABASE. Later starts: only the server.
set -euo pipefail
[ "${1:-mariadbd}" = mariadbd ] || exec "$@"
shift || true

data=/var/lib/mysql
options=(--no-defaults --datadir="$data" --socket=/run/mysqld/mysqld.sock --pid-file=/run/mysqld/mysqld.pid --bind-address=0.0.0.0)
if [ "$(id -u)" = 0 ]; then
  chown mysql:mysql "$data"
  exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" mariadbd "$@"
fi
if [ ! -d "$data/mysql" ]; then
  [ -n "${MARIADB_ROOT_PASSWORD:-}" ] || {
    echo 'docker-entrypoint.sh: set MARIADB_ROOT_PASSWORD' >&2
    exit 1
  }
  mariadb-install-db --no-defaults --datadir="$data" --auth-root-authentication-method=normal --skip-test-db
  # Read once, by the first start; a quote in the password is doubled, a backslash too.
  password=${MARIADB_ROOT_PASSWORD//\\/\\\\}
  password=${password//\'/\'\'}
  cat >/run/mysqld/first.sql <<SQL
ALTER USER root@localhost IDENTIFIED BY '$password';
CREATE USER root@'%' IDENTIFIED BY '$password';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
${MARIADB_DATABASE:+CREATE DATABASE \`$MARIADB_DATABASE\`;}
SQL
  chmod 0600 /run/mysqld/first.sql
  options+=(--init-file=/run/mysqld/first.sql)
fi
exec mariadbd "${options[@]}" "$@"
