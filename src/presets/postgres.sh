# busybox sh SHARED/preset-postgres.sh dump|restore|verify: PostgreSQL, in the database's own image, by its own client programs.
# What it does, which role it needs and what it refuses: docs/presets/postgres.md.
#
# A database's name is data from an opponent. It reaches libpq by PGDATABASE (as an argument it may be a connection string), SQL by
# psql's :'name' and :"name", and a file never. What the catalog says is asked for with `search_path` pinned.
shared=${0%/*}
bb=$shared/busybox
task=$1

say() { echo "backup-postgres: $*" >&2; }

set -o pipefail
umask 077
export LC_ALL=C PGAPPNAME="${PGAPPNAME:-backup-operator}" PGUSER="${PGUSER:-postgres}"
newline='
'
# What whoever ends this script early leaves to it: the database whose connections are off, and the one that is half made.
closed= half=

leave() {
  status=$?
  trap - EXIT
  [ -n "$closed" ] && reopen "$closed" "$beside"
  [ -n "$half" ] && drop_half 2>/dev/null
  "$bb" rm -rf "$work"
  exit $status
}

begin() {
  work=$("$bb" mktemp -d "${TMPDIR:-/tmp}/backup-postgres.XXXXXX") || exit 73
  trap leave EXIT
  trap 'exit 143' TERM INT
  began=$("$bb" date +%s)
}

# refuse REASON SENTENCE...: the mover records both; 65 is EX_DATAERR of sysexits.
refuse() {
  reason=$1
  shift
  say "$reason: $*"
  printf '%s\n%s\n' "$reason" "$*" >"$work/refused"
  "$shared/artifact" .refused "$bb" cat "$work/refused" || exit
  exit 65
}

# tell NAME FILE: a message to the mover.
tell() { "$shared/artifact" "$1" "$bb" cat "$2" || exit; }

# sql DATABASE [OPTION OF psql]...: runs the SQL of standard input, one value a line. The first error ends it.
sql_options='-c search_path=pg_catalog -c standard_conforming_strings=on -c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0'
sql() {
  sql_database=$1
  shift
  PGDATABASE=$sql_database PGCLIENTENCODING=UTF8 PGOPTIONS="${PGOPTIONS:+$PGOPTIONS }$sql_options" psql -XAtqw -v ON_ERROR_STOP=1 "$@"
}

# The same for what must not fail: psql has said why.
must() { sql "$@" || exit; }

major() { echo "${1%%[!0-9]*}"; }

# The version of a client program: what `PROGRAM --version` says after the name of the product.
client_version() {
  version=$("$1" --version) || { say "$1 cannot be run"; exit 127; }
  version=${version#*PostgreSQL) }
  echo "${version%% *}"
}

# The password's file as libpq reads one. What the environment says in libpq's own words goes before it.
use_password_file() {
  [ -n "${BACKUP_PASSWORD_FILE:-}" ] && [ -z "${PGPASSWORD:-}${PGPASSFILE:-}" ] || return 0
  password=$("$bb" cat "$BACKUP_PASSWORD_FILE") ||
    refuse LoginRefused "The file of the password, $BACKUP_PASSWORD_FILE, is missing or cannot be read. Mount the Secret that has it, readable for the user of this container."
  case $password in
    *"$newline"*) refuse LoginRefused "The file of the password, $BACKUP_PASSWORD_FILE, has more than one line. Put the password alone into it." ;;
  esac
  # libpq takes a carriage return at the end of the line for a part of the line's end: the last colon keeps it in the password.
  { printf '*:*:*:*:' && printf %s "$password" | "$bb" sed 's/[\\:]/\\&/g' && printf ':\n'; } >"$work/password" || exit 73
  unset password
  export PGPASSFILE="$work/password"
}

# is_absent FILE: of absolute paths. What else these variables may hold (`system`, an engine's key) is libpq's to judge.
is_absent() { case $1 in /*) [ ! -e "$1" ] ;; *) return 1 ;; esac; }

# Secrets are mounted as optional, and so that all may read them: a file may be missing, and libpq takes no key that others can read.
use_tls_files() {
  if is_absent "${PGSSLROOTCERT:-}"; then
    case ${PGSSLMODE:-} in
      verify-*) refuse TlsFileMissing "The mode $PGSSLMODE needs the authority to check the server against, and there is no file $PGSSLROOTCERT. Put it into the Secret (as ca.crt, where the whole Secret is named)." ;;
    esac
    unset PGSSLROOTCERT
  fi
  if is_absent "${PGSSLCERT:-}"; then
    unset PGSSLCERT PGSSLKEY
  elif is_absent "${PGSSLKEY:-}"; then
    say "the certificate ${PGSSLCERT:-} is not shown to the server: its key $PGSSLKEY is missing"
    unset PGSSLCERT PGSSLKEY
  fi
  case ${PGSSLKEY:-} in
    /*)
      "$bb" cat "$PGSSLKEY" >"$work/key" ||
        refuse TlsFileMissing "The key of the certificate, $PGSSLKEY, cannot be read. Let the user of this container read it."
      export PGSSLKEY="$work/key" ;;
  esac
}

# Connects to the first of the databases given that lets us in, for what no single database holds. Sets `maintenance`, `server`
# (its version), `server_major`, `user`, `is_superuser`.
connect() {
  use_password_file
  use_tls_files
  refused=
  for maintenance in "$@"; do
    [ -n "$maintenance" ] || continue
    if sql "$maintenance" >"$work/server" 2>"$work/error" <<'SQL'
SELECT split_part(current_setting('server_version'), ' ', 1);
SELECT current_setting('server_version_num')::int / 10000;
SELECT current_user;
SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user;
SQL
    then
      { IFS= read -r server; IFS= read -r server_major; IFS= read -r user; IFS= read -r is_superuser; } <"$work/server"
      return
    fi
    "$bb" cat "$work/error" >&2
    [ -n "$refused" ] || refused=$("$bb" tr '\n' ' ' <"$work/error")
    # Messages of a server may be in any language: whether it answers is asked for apart.
    pg_isready -q || refuse ServerUnreachable "The server does not answer, or takes no connections now: $refused"\
"Look whether it runs, and whether host, port, TLS settings and network policies let this pod reach it."
  done
  refuse LoginRefused "The server answers, but refuses this login: $refused"\
"Correct user and password in the Secret, or allow the login in pg_hba.conf."
}

# check_name NAME REMEDY. Names with line ends or other control characters have no place in a list of names, nor in a key; one with a dot
# in front would be a message to the mover.
check_name() {
  case $1 in
    *[[:cntrl:]]*) refuse DatabaseNameUnsupported "The name of the database $(quoted "$1") has a control character (such as a line end), which no list of artifacts can hold. $2" ;;
    .*) refuse DatabaseNameUnsupported "The name of the database $(quoted "$1") begins with a dot, as messages to the mover do. $2" ;;
  esac
}

quoted() { printf '"%s"' "$(printf %s "$1" | "$bb" tr '\000-\037' ' ')"; }

# The same as SQL writes it, for statements that people are told to run.
identifier() { quoted "$(printf %s "$1" | "$bb" sed 's/"/""/g')"; }

# has LINES WORD: whether one of the lines is this word.
has() { case "$newline$1$newline" in *"$newline$2$newline"*) return 0 ;; esac; return 1; }

# json_string TEXT: as a JSON string; control characters become blanks.
json_string() { printf '"%s"' "$(printf %s "$1" | "$bb" tr '\000-\037' ' ' | "$bb" sed 's/["\\]/\\&/g')"; }

# What of a database is not in its archive, as JSON: made again from this when it is restored. Needs the variable `name`.
properties_sql="
SELECT json_build_object(
  'database', d.datname,
  'owner', pg_get_userbyid(d.datdba),
  'encoding', pg_encoding_to_char(d.encoding),
  'collate', d.datcollate,
  'ctype', d.datctype,
  'localeProvider', coalesce(to_jsonb(d)->>'datlocprovider', 'c'),
  'locale', coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'),
  'tablespace', (SELECT spcname FROM pg_catalog.pg_tablespace WHERE oid = d.dattablespace),
  'connectionLimit', d.datconnlimit,
  'comment', shobj_description(d.oid, 'pg_database'),
  'acl', CASE WHEN d.datacl IS NOT NULL THEN coalesce((
    SELECT json_agg(json_build_object('grantee', r.rolname, 'privilege', a.privilege_type, 'grantable', a.is_grantable))
    FROM aclexplode(d.datacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
    WHERE a.grantee = 0 OR r.oid IS NOT NULL), '[]') END,
  'settings', coalesce((
    SELECT json_agg(json_build_object('role', r.rolname, 'name', split_part(c, '=', 1), 'value', substr(c, strpos(c, '=') + 1)))
    FROM pg_catalog.pg_db_role_setting s CROSS JOIN unnest(s.setconfig) c LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
    WHERE s.setdatabase = d.oid), '[]')
)::jsonb AS properties
FROM pg_catalog.pg_database d WHERE d.datname = :'name'"

# Objects that make a database not empty: relations, routines and large objects that no extension has brought.
contents_sql="
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
UNION ALL
SELECT p.proname FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
UNION ALL
SELECT (SELECT 'large object ' || oid FROM pg_catalog.pg_largeobject_metadata LIMIT 1) WHERE EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)"

#### dump

# pg_dump fails late, or leaves something out without a word, where its role may not do something. This finds it before the first byte.
preflight_sql="
WITH relations AS (
  SELECT c.oid, c.relkind, n.oid AS schema, format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND (NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                     WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
         OR EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE c.oid = ANY (x.extconfig)))
), found AS (
  SELECT 'ExtensionUnsupported' AS kind, extname::text AS name FROM pg_catalog.pg_extension WHERE extname = 'timescaledb'
  UNION ALL
  SELECT 'RightsMissing', name FROM relations WHERE NOT (has_schema_privilege(schema, 'USAGE')
    AND CASE relkind WHEN 'S' THEN has_sequence_privilege(oid, 'SELECT') ELSE has_table_privilege(oid, 'SELECT') END)
  UNION ALL
  SELECT 'RowSecurity', name FROM relations WHERE relkind IN ('r', 'p') AND row_security_active(oid)
  UNION ALL
  SELECT 'LargeObjectsUnreadable', l.oid::text FROM pg_catalog.pg_largeobject_metadata l
  WHERE NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
    AND current_setting('lo_compat_privileges') = 'off'
    AND NOT (current_setting('server_version_num')::int >= 190000
             AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pg_read_all_data' AND pg_has_role(oid, 'USAGE')))
    AND NOT pg_has_role(l.lomowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM aclexplode(l.lomacl) a
                    WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))
)
SELECT kind || ' ' || count(*) || ' ' || regexp_replace(string_agg(name, ', ' ORDER BY nth) FILTER (WHERE nth <= 5), '[[:cntrl:]]', ' ', 'g')
FROM (SELECT kind, name, row_number() OVER (PARTITION BY kind ORDER BY name) AS nth FROM found) f
GROUP BY kind ORDER BY kind;"

# The names of the databases to dump, one a line, in \$work/databases.
choose_databases() {
  must "$maintenance" >"$work/all" <<'SQL'
SELECT regexp_replace(datname, '[[:cntrl:]]', E'\u0001', 'g') FROM pg_catalog.pg_database
WHERE datallowconn AND NOT datistemplate AND datconnlimit <> -2 ORDER BY datname;
SQL
  all=$("$bb" cat "$work/all")
  chosen=${BACKUP_DATABASES:-$all}
  : >"$work/databases"
  while IFS= read -r database; do
    [ -z "$database" ] && continue
    has "${BACKUP_EXCLUDE:-}" "$database" && continue
    has "$("$bb" cat "$work/databases")" "$database" && continue
    check_name "$database" 'Rename the database, or list the databases to back up without it.'
    has "$all" "$database" || refuse DatabaseMissing "There is no database $(quoted "$database") on the server that takes connections. Correct the list of databases; there are: $(echo "$all" | "$bb" tr '\n' ' ')"
    printf '%s\n' "$database" >>"$work/databases"
  done <<NAMES
$chosen
NAMES
  [ -s "$work/databases" ] || refuse DatabaseMissing "No database is left to dump: the server has none, or all are excluded."
}

check_database() {
  database=$1
  if ! sql "$database" >"$work/found" 2>"$work/error" <<SQL
$preflight_sql
SQL
  then
    "$bb" cat "$work/error" >&2
    may_connect=$(must "$maintenance" -v name="$database" <<'SQL'
SELECT has_database_privilege(:'name', 'CONNECT');
SQL
    ) || exit
    [ "$may_connect" = t ] && exit 1
    refuse RightsMissing "The role $(quoted "$user") may not connect to the database $(quoted "$database"). Run as its owner: GRANT CONNECT ON DATABASE $(identifier "$database") TO $(identifier "$user"); or exclude it from the backup."
  fi
  while read -r kind count names; do
    [ "$count" -gt 5 ] && names="$names and $((count - 5)) more"
    where="in the database $(quoted "$database"): $names."
    case $kind in
      ExtensionUnsupported) refuse $kind "TimescaleDB needs steps around a restore that this preset does not do, $where Back this database up by a command of its own, and exclude it here." ;;
      RightsMissing) refuse $kind "The role $(quoted "$user") may not read $where pg_dump would fail there. Run as superuser: GRANT pg_read_all_data TO $(identifier "$user"); (before PostgreSQL 14: GRANT USAGE on the schemas, and SELECT on their tables and sequences)." ;;
      RowSecurity) refuse $kind "Row-level security hides rows from the role $(quoted "$user") $where pg_dump refuses to dump a part of a table. Run as superuser: ALTER ROLE $(identifier "$user") BYPASSRLS;" ;;
      LargeObjectsUnreadable) refuse $kind "The role $(quoted "$user") may not read large objects $where pg_read_all_data does not cover them before PostgreSQL 19. Run as their owner, for each: GRANT SELECT ON LARGE OBJECT ... TO $(identifier "$user"); or dump as superuser." ;;
    esac
  done <"$work/found"
}

# A session whose snapshot is the dump's: `say_to_session` writes to it, its answers come on 6.
open_session() {
  "$bb" mkfifo "$work/ask" "$work/answer" || exit 73
  sql "$1" -v name="$1" <"$work/ask" >"$work/answer" & session=$!
  exec 5>"$work/ask" 6<"$work/answer"
  "$bb" rm "$work/ask" "$work/answer"
}

close_session() {
  exec 5>&- 6<&-
  wait $session
}

exact_up_to=104857600
most_tables=10000
# A message to the mover has at most 1 MiB.
most_bytes=900000

all_tables_sql="
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.reltuples,
  pg_is_in_recovery() AND c.relpersistence = 'u' AS unread,
  NOT (pg_is_in_recovery() AND c.relpersistence = 'u') AND pg_table_size(c.oid) <= $exact_up_to AS exact
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                  WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')"
# As many as fit into a message.
tables_sql="$all_tables_sql ORDER BY n.nspname, c.relname LIMIT $most_tables"

facts_sql() {
  "$bb" cat <<SQL
SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout' \\g /dev/null
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
\\o $work/facts.head
WITH p AS ($properties_sql), held AS (
  -- What belongs or is granted to somebody. That the first superuser owns something is not recorded, but for the object itself.
  SELECT classid, objid, refobjid AS role, deptype FROM pg_catalog.pg_shdepend
  WHERE refclassid = 'pg_catalog.pg_authid'::regclass
    AND dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  UNION ALL
  SELECT 'pg_catalog.pg_class'::regclass, c.oid, 10, 'o' FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE relowner = 10 AND c.oid >= 16384 AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND nspname !~ '^pg_'
  UNION ALL
  SELECT 'pg_catalog.pg_proc'::regclass, oid, 10, 'o' FROM pg_catalog.pg_proc WHERE proowner = 10 AND oid >= 16384
  UNION ALL
  SELECT 'pg_catalog.pg_namespace'::regclass, oid, 10, 'o' FROM pg_catalog.pg_namespace
  WHERE nspowner = 10 AND oid >= 16384 AND nspname !~ '^pg_'
), roles AS (
  -- Extensions and what they bring will belong to whoever restores them.
  SELECT DISTINCT r.rolname FROM held h JOIN pg_catalog.pg_roles r ON r.oid = h.role
  WHERE NOT (h.deptype = 'o' AND (h.classid = 'pg_catalog.pg_extension'::regclass OR EXISTS (
    SELECT FROM pg_catalog.pg_depend e WHERE e.classid = h.classid AND e.objid = h.objid AND e.deptype = 'e')))
)
SELECT p.properties || json_build_object(
  'size', pg_database_size(current_database()),
  'empty', NOT EXISTS ($contents_sql) AND NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE oid >= 16384),
  'extensions', coalesce((SELECT json_agg(json_build_object('name', extname, 'version', extversion) ORDER BY extname)
    FROM pg_catalog.pg_extension), '[]'),
  'roles', coalesce((SELECT json_agg(rolname ORDER BY rolname) FROM roles), '[]'),
  'tablespaces', coalesce((SELECT json_agg(DISTINCT t.spcname) FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_tablespace t ON t.oid = c.reltablespace WHERE t.spcname <> 'pg_global'), '[]'),
  'sequences', (SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
  'largeObjects', (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata),
  'subscriptions', (SELECT count(*) FROM pg_catalog.pg_subscription
    WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
)::jsonb FROM p;
\\o
-- Kept from being dropped between here and its count, as pg_dump does.
SELECT format('LOCK TABLE ONLY %I.%I IN ACCESS SHARE MODE', schema, name) FROM ($tables_sql) t WHERE NOT unread \\gexec
\\o $work/facts.tables
SELECT format('SELECT json_build_object(''schema'', %L::text, ''name'', %L::text, ''oid'', %s, ''rows'', %s, ''exact'', %L::boolean)',
  schema, name, oid,
  CASE WHEN exact THEN format('(SELECT count(*) FROM ONLY %I.%I)', schema, name) ELSE greatest(reltuples, 0)::bigint::text END, exact)
FROM ($tables_sql) t ORDER BY schema, name \\gexec
\\o $work/facts.count
SELECT count(*) FROM ($all_tables_sql) t;
\\o
SELECT pg_export_snapshot();
SQL
}
dump_database() {
  database=$1
  open_session "$database"
  # psql that could not connect is gone: then nobody reads this, and the end of its answers comes next.
  facts_sql >&5
  IFS= read -r snapshot <&6
  case $snapshot in
    ''|*[!0-9A-F-]*) close_session; say "the facts of the database $(quoted "$database") could not be read"; exit 1 ;;
  esac
  {
    "$bb" sed '$s/}$//' "$work/facts.head"
    "$bb" awk -v most="$most_bytes" -v all="$("$bb" cat "$work/facts.count")" '
      BEGIN { printf ", \"tables\": [" }
      (size += length($0) + 2) <= most { printf "%s%s", (kept++ ? ",\n" : "\n"), $0 }
      END { printf "]"; if (all > kept) printf ", \"tablesLeftOut\": %d", all - kept; print "}" }' "$work/facts.tables"
  } >"$work/facts"
  tell ".facts/$database.dump" "$work/facts" 5>&- 6<&-
  PGDATABASE=$database "$shared/artifact" "$database.dump" pg_dump -w -Fc -Z0 --snapshot="$snapshot" 5>&- 6<&- || exit
  close_session || exit
}

dump() {
  client=$(client_version pg_dump) || exit
  connect "${PGDATABASE:-}" postgres template1 "${BACKUP_DATABASES%%"$newline"*}"
  [ "$(major "$client")" -ge "$server_major" ] || refuse ClientOlderThanServer "pg_dump $client cannot dump a server of version $server. Use an image of PostgreSQL $server_major or newer for the backup."
  choose_databases
  while IFS= read -r database <&3; do check_database "$database" 3<&-; done 3<"$work/databases"

  must "$maintenance" -v client="$client" -v server="$server" >"$work/engine" <<'SQL'
SELECT json_build_object('preset', 'postgres', 'serverVersion', :'server', 'clientVersion', :'client');
SQL
  tell .engine "$work/engine"

  passwords=$(must "$maintenance" <<'SQL'
SELECT CASE WHEN has_table_privilege('pg_catalog.pg_authid', 'SELECT') THEN 'true' ELSE 'false' END;
SQL
  ) || exit
  printf '{"rolePasswords": %s}\n' "$passwords" >"$work/facts"
  tell .facts/globals.sql "$work/facts"
  set -- --globals-only
  [ $passwords = true ] || set -- "$@" --no-role-passwords
  "$shared/artifact" globals.sql pg_dumpall -w "$@" || exit
  while IFS= read -r database <&3; do dump_database "$database" 3<&-; done 3<"$work/databases"
}

#### restore

# hear NAME FILE: what the mover knows.
hear() { "$shared/feed" "$1" "$bb" cat >"$2" || exit; }

# knowing FILE: SQL for psql that sets its variable `facts` to the JSON of FILE, then that of standard input. As an argument it would
# be too long.
knowing() {
  printf "SELECT '"
  "$bb" sed "s/'/''/g" "$1"
  printf "' AS facts \\\\gset\n"
  "$bb" cat
}

# fit NAME SUFFIX, two SQL expressions: both together in the 63 bytes of a name; what is cut off is told apart by its hash.
fit_sql() {
  echo "CASE WHEN octet_length($1 || $2) <= 63 THEN $1
  ELSE (SELECT left($1, k) FROM generate_series(1, 63) k WHERE octet_length(left($1, k)) <= 56 - octet_length($2) ORDER BY k DESC LIMIT 1)
    || '_' || left(md5($1), 6) END || $2"
}

# A mark is a line of a comment. The comments of old stay around it, without the marks of other Restores.
marked_sql() { printf '%s' "position(E'\\n' || $2 || E'\\n' IN E'\\n' || coalesce($1, '') || E'\\n') > 0"; }
mark_sql() { printf '%s' "concat_ws(E'\\n', nullif(regexp_replace($1, '(^|\\n)(restored|replaced) by Restore [^\\n]*', '', 'g'), ''), $2)"; }

# state NAME: absent, done (this Restore made it), replaced (by it), half, taking (half made, and taking over), closed, or there.
state() {
  must "$maintenance" -v name="$1" -v uid="$uid" <<SQL
SELECT coalesce((
  SELECT CASE
    WHEN comment = 'half made by Restore ' || :'uid' THEN 'half'
    WHEN comment = 'half made by Restore ' || :'uid' || ', taking over' THEN 'taking'
    WHEN $(marked_sql comment "'restored by Restore ' || :'uid'") THEN 'done'
    WHEN $(marked_sql comment "'replaced by Restore ' || :'uid'") THEN 'replaced'
    WHEN NOT datallowconn THEN 'closed' ELSE 'there' END
  FROM (SELECT datallowconn, shobj_description(oid, 'pg_database') AS comment FROM pg_catalog.pg_database WHERE datname = :'name') d), 'absent');
SQL
}

is_empty() {
  first=$(must "$1" <<SQL
SELECT count(*) FROM ($contents_sql LIMIT 1) c;
SQL
  ) || exit
  [ "$first" = 0 ]
}

# reopen DATABASE FROM: its connections are on again.
reopen() {
  sql "$2" -v name="$1" <<'SQL'
ALTER DATABASE :"name" ALLOW_CONNECTIONS true;
SQL
}

# end_sessions DATABASE FROM: fails when some remain.
end_sessions() {
  for try in 1 2 3 4 5 6 7 8 9 10; do
    left=$(must "$2" -v name="$1" <<'SQL'
SELECT count(pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity
WHERE datname = :'name' AND backend_type <> 'autovacuum worker'; -- which ends by itself for whoever renames or drops
SQL
    ) || return
    [ "$left" = 0 ] && return
    "$bb" sleep 1
  done
  return 1
}

# drop DATABASE FROM STATE...: nothing is ever dropped but what is in one of these states, which this Restore's UID has marked.
drop() {
  dropped=$1 from=$2
  shift 2
  dropped_state=$(state "$dropped") || return
  has "$(printf '%s\n' "$@")" "$dropped_state" || return 0
  end_sessions "$dropped" "$from"
  sql "$from" -v name="$dropped" <<'SQL'
DROP DATABASE :"name";
SQL
}

drop_half() { drop "$half_name" "$beside" half taking; }

# Between CREATE DATABASE and its comment a database has this Restore's name and no mark. It is taken for ours only while it is empty.
recover() {
  half_state=$(state "$half_name") || exit
  case $half_state in
    taking) reopen "$target" "$beside" || exit ;;
    there)
      is_empty "$half_name" || refuse SwapBlocked "There is a database $(quoted "$half_name"), the name that this Restore needs for what is half made, and it is not empty. Rename or drop it."
      mark_half "$half_name" '' ;;
  esac
  drop_half || exit
}

mark_half() {
  must "$beside" -v name="$1" -v mark="half made by Restore $uid$2" <<'SQL'
COMMENT ON DATABASE :"name" IS :'mark';
SQL
}

# plan_database NAME N: sets what the functions below work with: the N-th database of the backup, its facts, what it becomes, and the
# names on the way there.
plan_database() {
  database=$1 facts=$work/facts.$2
  target=${BACKUP_INTO:-$database}
  beside=$maintenance
  [ "$target" = "$beside" ] && beside=template1
  [ -f "$work/names.$2" ] || must "$maintenance" -v name="$target" -v half="_restoring_$id" -v before="_before_$id" >"$work/names.$2" <<SQL
SELECT $(fit_sql ":'name'" ":'half'");
SELECT $(fit_sql ":'name'" ":'before'");
SQL
  { IFS= read -r half_name; IFS= read -r before; } <"$work/names.$2"
}

# Everything that can be known before the first byte. Sets `wanted_state` of the target.
check_target() {
  hear ".facts/$database.dump" "$facts"
  check_extensions
  recover
  wanted_state=$(state "$target") || exit
  case $wanted_state in
    done) return ;;
    absent) ;;
    closed) refuse SwapBlocked "The database $(quoted "$target") takes no connections, so it cannot be replaced. Run: ALTER DATABASE $(identifier "$target") ALLOW_CONNECTIONS true;" ;;
    *) check_swap ;;
  esac
  check_rights
}

check_extensions() {
  missing=$(knowing "$facts" <<'SQL' | sql "$maintenance"
SELECT string_agg(name, ', ') FROM json_to_recordset(:'facts'::json->'extensions') AS e(name text)
WHERE name NOT IN (SELECT name FROM pg_catalog.pg_available_extensions);
SQL
  ) || exit
  [ -z "$missing" ] || refuse ExtensionMissing "The database $(quoted "$database") needs extensions that the server does not have: $missing. Use a server image with them."
}

check_swap() {
  # Restored beside and swapped all the same: an empty one that a server makes at its first start may have settings and grants.
  if [ "${BACKUP_OVERWRITE:-false}" != true ] && ! is_empty "$target"; then
    refuse TargetNotEmpty "The database $(quoted "$target") exists and is not empty. Restore into a new name, or set overwrite: true to replace it."
  fi
  blocking=$(must "$maintenance" -v name="$target" -v before="$before" <<'SQL'
SELECT regexp_replace(string_agg(what, ', '), '[[:cntrl:]]', ' ', 'g') FROM (
  SELECT 'the logical replication slot ' || slot_name AS what FROM pg_catalog.pg_replication_slots WHERE database = :'name'
  UNION ALL
  SELECT 'the subscription ' || s.subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
  WHERE d.datname = :'name'
  UNION ALL
  SELECT 'the prepared transaction ' || gid FROM pg_catalog.pg_prepared_xacts WHERE database = :'name'
  UNION ALL
  SELECT 'the database ' || datname || ', whose name the old one would get' FROM pg_catalog.pg_database WHERE datname = :'before'
  UNION ALL
  SELECT 'its being a template' FROM pg_catalog.pg_database WHERE datname = :'name' AND datistemplate
) b;
SQL
  ) || exit
  [ -z "$blocking" ] || refuse SwapBlocked "The database $(quoted "$target") cannot be replaced because of $blocking. End or drop these first, or restore into a new name."
}

check_rights() {
  [ "$is_superuser" = t ] && return
  lacking=$(knowing "$facts" <<'SQL' | sql "$maintenance" -v name="$target"
SELECT regexp_replace(string_agg(what, '; '), '[[:cntrl:]]', ' ', 'g') FROM (
  SELECT format('ALTER ROLE %I CREATEDB', current_user) AS what
  FROM pg_catalog.pg_roles WHERE rolname = current_user AND NOT rolcreatedb
  UNION
  SELECT format('GRANT %I TO %I', r.rolname, current_user) FROM pg_catalog.pg_roles r
  WHERE NOT pg_has_role(r.oid, 'MEMBER') AND r.rolname !~ '^pg_' AND (
    r.rolname IN (SELECT json_array_elements_text(:'facts'::json->'roles'))
    OR r.rolname = :'facts'::json->>'owner'
    OR r.oid = (SELECT datdba FROM pg_catalog.pg_database WHERE datname = :'name'))
  UNION
  SELECT format('a superuser''s login, for the extension %I', v.name)
  FROM pg_catalog.pg_available_extensions v JOIN json_to_recordset(:'facts'::json->'extensions') AS e(name text) ON e.name = v.name
  JOIN pg_catalog.pg_available_extension_versions w ON w.name = v.name AND w.version = v.default_version
  WHERE w.superuser AND NOT w.trusted
) l;
SQL
  ) || exit
  [ -z "$lacking" ] || refuse RightsMissing "The role $(quoted "$user") may not restore the database $(quoted "$database") as $(quoted "$target"). It needs: $lacking. Restore with the credentials of a superuser, or run this as one."
}

check_roles() {
  missing=$(knowing "$facts" <<'SQL' | sql "$maintenance"
SELECT regexp_replace(string_agg(name, ', '), '[[:cntrl:]]', ' ', 'g') FROM json_array_elements_text(:'facts'::json->'roles') name
WHERE name NOT IN (SELECT rolname FROM pg_catalog.pg_roles);
SQL
  ) || exit
  [ -z "$missing" ] || refuse RolesMissing "Objects of the database $(quoted "$database") belong or are granted to roles that the server does not have: $missing. Create them, or restore the globals as well (globals: true)."
}

# Empty in the backup and empty here, as `postgres` mostly is: there is nothing to do.
is_settled() {
  [ "$wanted_state" = there ] || return
  empty=$(knowing "$facts" <<'SQL' | sql "$maintenance"
SELECT :'facts'::json->>'empty';
SQL
  ) || exit
  [ "$empty" = true ] && is_empty "$target"
}

create_half() {
  knowing "$work/properties" <<'SQL' | sql "$beside" -v name="$half_name" || exit
SELECT format('CREATE DATABASE %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L', :'name', p->>'encoding', p->>'collate', p->>'ctype')
  || CASE p->>'localeProvider'
       WHEN 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L', p->>'locale')
       WHEN 'b' THEN format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L', p->>'locale') ELSE '' END
  || coalesce((SELECT format(' OWNER %I', rolname) FROM pg_catalog.pg_roles WHERE rolname = p->>'owner'), '')
  || coalesce((SELECT format(' TABLESPACE %I', spcname) FROM pg_catalog.pg_tablespace
    WHERE spcname = p->>'tablespace' AND spcname <> 'pg_default' AND has_tablespace_privilege(oid, 'CREATE')), '')
FROM (SELECT :'facts'::json AS p) f \gexec
SQL
  half=$half_name
  mark_half "$half_name" ''
}

# feed_archive OPTION OF pg_restore...: the archive goes into the half-made database.
feed_archive() {
  # Restored subscriptions would be the wish of a copy to take part in a replication.
  set -- --exit-on-error --no-subscriptions "$@"
  [ "$client_major" -lt 17 ] || set -- --transaction-size=1000 "$@"
  # An empty name leaves it to PGDATABASE.
  PGDATABASE=$half_name PGOPTIONS="${PGOPTIONS:+$PGOPTIONS }-c default_transaction_read_only=off" \
    "$shared/feed" "$database.dump" pg_restore -w -d '' "$@"
}

restore_database() {
  if [ "$wanted_state" = absent ]; then
    "$bb" cp "$facts" "$work/properties"
  else
    must "$maintenance" -v name="$target" >"$work/properties" <<SQL
$properties_sql;
SQL
  fi
  create_half
  no_tablespaces=$(knowing "$facts" <<'SQL' | sql "$maintenance"
SELECT '--no-tablespaces' WHERE EXISTS (SELECT FROM json_array_elements_text(:'facts'::json->'tablespaces') name
  WHERE name NOT IN (SELECT spcname FROM pg_catalog.pg_tablespace));
SQL
  ) || exit
  [ -z "$no_tablespaces" ] || leave_out "$database: tablespaces, which this server lacks; all is in the default one"
  feed_archive $no_tablespaces || exit
  check_content
  apply_properties
}

leave_out() { printf '%s\n' "$1" | "$bb" tr '\000-\011\013-\037' ' ' >>"$work/left_out"; }

# What was counted in the dump's own snapshot must be there.
check_content() {
  knowing "$facts" <<'SQL' | sql "$half_name" >"$work/differs" || exit
SELECT format('SELECT %L WHERE (SELECT count(*) FROM ONLY %I.%I) <> %s', format('%I.%I', schema, name), schema, name, rows)
FROM json_to_recordset(:'facts'::json->'tables') AS t(schema text, name text, rows bigint, exact boolean)
WHERE exact AND NOT coalesce(row_security_active(to_regclass(format('%I.%I', schema, name))), false) \gexec
SQL
  [ ! -s "$work/differs" ] || refuse ContentDiffers "Tables of the restored database $(quoted "$database") do not have as many rows as the dump counted: $("$bb" head -n 5 "$work/differs" | "$bb" tr '\n' ' '). Nothing was replaced."
}

# Last, since the settings of a database would hold for the restore as well.
apply_properties() {
  knowing "$work/properties" <<'SQL' | sql "$beside" -v name="$half_name" -v super="$is_superuser" >"$work/skipped" || exit
CREATE TEMP TABLE settings AS
SELECT role, name, value, (role IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role))
  AND (:'super'::boolean OR coalesce((SELECT context IN ('user', 'backend') FROM pg_catalog.pg_settings s WHERE s.name = r.name), true)) AS may
FROM json_to_recordset(:'facts'::json->'settings') AS r(role text, name text, value text);
SELECT 'the setting ' || name || coalesce(' of the role ' || role, '') FROM settings WHERE NOT may;
SELECT 'the rights of ' || grantee || ' on the database, since there is no such role'
FROM json_to_recordset(CASE json_typeof(:'facts'::json->'acl') WHEN 'array' THEN :'facts'::json->'acl' ELSE '[]' END) AS a(grantee text)
WHERE grantee NOT IN (SELECT rolname FROM pg_catalog.pg_roles) GROUP BY grantee;
\o /dev/null
SELECT format('ALTER DATABASE %I CONNECTION LIMIT %s', :'name', (:'facts'::json->>'connectionLimit')::int) \gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', :'name') WHERE json_typeof(:'facts'::json->'acl') = 'array' \gexec
SELECT format('GRANT %s ON DATABASE %I TO %s', privilege, :'name', coalesce(quote_ident(grantee), 'PUBLIC'))
  || CASE WHEN grantable THEN ' WITH GRANT OPTION' ELSE '' END
FROM json_to_recordset(CASE json_typeof(:'facts'::json->'acl') WHEN 'array' THEN :'facts'::json->'acl' ELSE '[]' END)
  AS a(grantee text, privilege text, grantable boolean)
WHERE privilege IN ('CREATE', 'CONNECT', 'TEMPORARY') AND (grantee IS NULL OR grantee IN (SELECT rolname FROM pg_catalog.pg_roles)) \gexec
-- The value of a list is stored as it is written; any other one is a string.
SELECT CASE step WHEN 1 THEN CASE WHEN list THEN format('SELECT pg_catalog.set_config(%L, %L, false)', name, value) END
  ELSE CASE WHEN role IS NULL THEN format('ALTER DATABASE %I', :'name') ELSE format('ALTER ROLE %I IN DATABASE %I', role, :'name') END
    || format(' SET %I ', name) || CASE WHEN list THEN 'FROM CURRENT' ELSE format('TO %L', value) END END
FROM (SELECT *, name IN ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries') AS list
      FROM settings, generate_series(1, 2) step WHERE may) s
ORDER BY role, name, step \gexec
SQL
  while IFS= read -r line <&4; do leave_out "$database: $line"; done 4<"$work/skipped"
}

# The new database takes its name, over nobody.
take_free_name() {
  knowing "$work/properties" <<SQL | sql "$beside" -v half="$half_name" -v target="$target" -v uid="$uid" || exit
SELECT $(mark_sql ":'facts'::json->>'comment'" "'restored by Restore ' || :'uid'") AS mark \\gset
BEGIN;
ALTER DATABASE :"half" RENAME TO :"target";
COMMENT ON DATABASE :"target" IS :'mark';
COMMIT;
SQL
  half=
}

# Told to its comment first, so that a run after a crash knows who has turned the connections off.
swap() {
  mark_half "$half_name" ', taking over'
  closed=$target
  must "$beside" -v name="$target" <<'SQL'
ALTER DATABASE :"name" ALLOW_CONNECTIONS false;
SQL
  end_sessions "$target" "$beside" || refuse SwapBlocked "Sessions in the database $(quoted "$target") do not end. Look at pg_stat_activity, and end them as superuser."
  knowing "$work/properties" <<SQL | sql "$beside" -v half="$half_name" -v target="$target" -v before="$before" -v uid="$uid" || exit
SELECT $(mark_sql ":'facts'::json->>'comment'" "'restored by Restore ' || :'uid'") AS mark,
  $(mark_sql ":'facts'::json->>'comment'" "'replaced by Restore ' || :'uid'") AS replaced \\gset
BEGIN;
ALTER DATABASE :"target" RENAME TO :"before";
ALTER DATABASE :"half" RENAME TO :"target";
COMMENT ON DATABASE :"target" IS :'mark';
COMMENT ON DATABASE :"before" IS :'replaced';
COMMIT;
SQL
  half= closed=$before
}

# What follows a completed swap or rename; also when it was completed by an earlier run. Sets `previous`.
finish() {
  previous=
  before_state=$(state "$before") || exit
  [ "$before_state" = replaced ] || return 0
  if [ "${BACKUP_PREVIOUS:-Keep}" = Delete ]; then
    drop "$before" "$beside" replaced || exit
  else
    reopen "$before" "$beside" || exit
    previous=$before
  fi
  closed=
}

note_result() {
  printf '{"database": %s, "as": %s, "previous": %s}\n' "$(json_string "$database")" "$(json_string "$1")" \
    "$([ -n "$2" ] && json_string "$2" || echo null)" >>"$work/made"
}

tell_result() {
  {
    printf '{"databases": ['
    "$bb" awk '{ printf "%s%s", (NR > 1 ? ", " : ""), $0 }' "$work/made"
    printf '], "leftOut": ['
    separator=
    while IFS= read -r line; do printf '%s' "$separator"; json_string "$line"; separator=', '; done <"$work/left_out"
    printf '], "seconds": %d}\n' $(($("$bb" date +%s) - began))
  } >"$work/result"
  tell .result "$work/result"
}

read_backup() {
  hear .artifacts "$work/artifacts"
  "$bb" sed -n 's/\.dump$//p' "$work/artifacts" >"$work/dumps"
  if [ -n "${BACKUP_DATABASE:-}" ]; then
    has "$("$bb" cat "$work/dumps")" "$BACKUP_DATABASE" || refuse NotInBackup "The backup has no database $(quoted "$BACKUP_DATABASE"). It has: $("$bb" tr '\n' ' ' <"$work/dumps")"
    printf '%s\n' "$BACKUP_DATABASE" >"$work/dumps"
  fi
  [ -s "$work/dumps" ] || refuse NotInBackup "The backup has no dump of a database."
}

check_versions() {
  hear .engine "$work/engine"
  knowing "$work/engine" <<'SQL' | sql "$maintenance" >"$work/versions" || exit
SELECT :'facts'::json->>'clientVersion';
SELECT :'facts'::json->>'serverVersion';
SELECT pg_is_in_recovery();
SQL
  { IFS= read -r dumper; IFS= read -r dumped; IFS= read -r standby; } <"$work/versions"
  [ "$standby" = f ] || refuse ServerReadOnly "The server is a standby, which takes no writes. Restore into its primary."
  client_major=$(major "$client")
  [ "$client_major" -ge "$(major "$dumper")" ] || refuse ClientOlder "The dump was made by pg_dump $dumper, and pg_restore $client may not be able to read it. Use an image of PostgreSQL $(major "$dumper") or newer for the restore."
  [ "$server_major" -ge "$(major "$dumped")" ] || refuse ServerOlder "The dump is of a server of version $dumped, and this one is $server: a dump does not go back to an older version. Restore into PostgreSQL $(major "$dumped") or newer."
  # pg_restore 17 sets transaction_timeout, which an older server does not know.
  [ "$client_major" -lt 17 ] || [ "$server_major" -ge 17 ] || refuse ServerOlder "pg_restore $client sets what a server of version $server does not know. Use an image of PostgreSQL $server_major for the restore."
}

restore() {
  id=${BACKUP_RESTORE_ID:?} uid=${BACKUP_RESTORE_UID:?}
  : >"$work/made"
  : >"$work/left_out"
  client=$(client_version pg_restore) || exit
  connect postgres template1 "${PGDATABASE:-}"
  read_backup
  check_versions
  if [ -n "${BACKUP_INTO:-}${BACKUP_TABLE:-}" ]; then
    [ "$("$bb" wc -l <"$work/dumps")" -eq 1 ] || refuse DatabaseAmbiguous "The backup has several databases, and only one can be restored so. Name one: $("$bb" tr '\n' ' ' <"$work/dumps")"
  fi
  if [ -n "${BACKUP_INTO:-}" ]; then
    check_name "$BACKUP_INTO" 'Choose another name for it.'
    [ ${#BACKUP_INTO} -le 63 ] || refuse NameTooLong "The name $(quoted "$BACKUP_INTO") is longer than the 63 bytes that PostgreSQL has for one. Choose a shorter one."
  fi
  if [ -n "${BACKUP_TABLE:-}" ]; then restore_table; else restore_databases; fi
  tell_result
}

restore_databases() {
  nth=0
  while IFS= read -r line <&3; do
    plan_database "$line" $((nth += 1)) 3<&-
    check_target 3<&-
    printf '%s\n' "$wanted_state" >>"$work/states"
  done 3<"$work/dumps"
  [ "${BACKUP_GLOBALS:-false}" = true ] && restore_globals
  nth=0
  while IFS= read -r line <&3; do
    plan_database "$line" $((nth += 1)) 3<&-
    [ "$("$bb" sed -n "${nth}p" "$work/states")" = done ] || check_roles 3<&-
  done 3<"$work/dumps"
  nth=0
  while IFS= read -r line <&3; do
    plan_database "$line" $((nth += 1)) 3<&-
    wanted_state=$("$bb" sed -n "${nth}p" "$work/states")
    if [ "$wanted_state" != done ] && ! is_settled; then
      restore_database 3<&-
      # An absent one may have been made meanwhile: then the name is not free, and this fails.
      if [ "$wanted_state" = absent ]; then take_free_name 3<&-; else swap 3<&-; fi
    fi
    finish 3<&-
    note_subscriptions 3<&-
    note_result "$target" "$previous"
  done 3<"$work/dumps"
}

note_subscriptions() {
  count=$(knowing "$facts" <<'SQL' | sql "$maintenance"
SELECT (:'facts'::json->>'subscriptions')::int;
SQL
  ) || exit
  [ "${count:-0}" = 0 ] || leave_out "$database: $count subscriptions, which a copy must not take up by itself"
}

#### globals

# Reads what `pg_dumpall --globals-only` has written, by a grammar of what it writes and nothing else, and writes SQL for psql in
# which each statement is a string literal that \gexec sends to the server: psql never reads the SQL of a dump, so no line in it can
# be a command of psql (CVE-2025-8714, CVE-2026-18408). Strings with line ends stay strings. What is not understood ends it with
# status 3 and a word on what, in the last line.
globals_awk='
function fail(what) { if (!bad) { bad = 1; print "line " NR ": " what > reasons } exit 3 }
function literal(s) { gsub(/\047/, "\047\047", s); return "\047" s "\047" }
function name_of(t) {
  if (t ~ /^"/) { t = substr(t, 2, length(t) - 2); gsub(/""/, "\"", t); return t }
  return t
}
function is_name(t) { return t ~ /^"./ || t ~ /^[a-z_][a-z0-9_]*$/ }
function is_string(t) { return t ~ /^E?\047/ }
function add(t) { token[++tokens] = t }
function text(from, to,   i, s) { for (i = from; i <= to; i++) s = s (i > from ? " " : "") token[i]; return s }
function starts(words,   n, w, i) {
  n = split(words, w, " ")
  for (i = 1; i <= n; i++) if (token[i] != w[i]) return 0
  return 1
}
function absent(role) { return "NOT EXISTS (SELECT FROM pg_temp.had WHERE rolname = " literal(role) ")" }
function emit(statement, condition) { print "SELECT " literal(statement) (condition ? " WHERE " condition : "") " \\gexec" }
function skip(what) { print what > skipped }
function attributes(from,   i, t) {
  for (i = from; i <= tokens; i++) {
    t = token[i]
    if (t ~ /^(NO)?(SUPERUSER|INHERIT|CREATEROLE|CREATEDB|LOGIN|REPLICATION|BYPASSRLS)$/) continue
    if (t == "CONNECTION" && token[i + 1] == "LIMIT" && token[i + 2] ~ /^[0-9]+$/) { i += 2; continue }
    if (t == "PASSWORD" && is_string(token[i + 1])) { i++; continue }
    if (t == "VALID" && token[i + 1] == "UNTIL" && is_string(token[i + 2])) { i += 2; continue }
    return 0
  }
  return 1
}
function statement(   i, role, options) {
  if (tokens == 0) return
  if (ended) fail("something follows the end of the dump")
  role = name_of(token[3])
  if (starts("SET default_transaction_read_only = off") && tokens == 4) ;
  else if (starts("SET client_encoding =") && tokens == 4) {
    if (token[4] != "\047UTF8\047") fail("an encoding that is not UTF8")
  } else if (starts("SET standard_conforming_strings = on") && tokens == 4) ;
  else if (starts("CREATE ROLE") && tokens == 3 && is_name(token[3])) emit(text(1, 3), absent(role))
  else if (starts("ALTER ROLE") && is_name(token[3]) && token[4] == "WITH" && attributes(5)) emit(text(1, tokens), absent(role))
  else if (starts("ALTER ROLE") && is_name(token[3]) && token[4] == "SET" && is_name(token[5]) && token[6] == "TO" && tokens >= 7) {
    for (i = 7; i <= tokens; i += 2) if (!is_string(token[i]) || (i < tokens && token[i + 1] != ",")) fail("a setting of a role")
    emit(text(1, tokens), absent(role))
  } else if (starts("COMMENT ON ROLE") && is_name(token[4]) && token[5] == "IS" && is_string(token[6]) && tokens == 6)
    emit(text(1, 6), absent(name_of(token[4])))
  else if (starts("GRANT") && is_name(token[2]) && token[3] == "TO" && is_name(token[4])) {
    for (i = 5; i <= tokens && token[i] != "GRANTED"; i++) {
      if (token[i] !~ /^(WITH|ADMIN|INHERIT|SET|OPTION|TRUE|FALSE|,)$/) fail("a membership")
      options = options " " token[i]
    }
    if (i <= tokens && !(token[i + 1] == "BY" && is_name(token[i + 2]) && tokens == i + 2)) fail("a membership")
    role = name_of(token[2])
    # Of a role that was there before nobody becomes a member unasked, but of those that are the same on every server.
    if (role ~ /^pg_/) emit("GRANT " token[2] " TO " token[4] options, absent(name_of(token[4])))
    else {
      emit("GRANT " token[2] " TO " token[4] options, absent(name_of(token[4])) " AND " absent(role))
      print "SELECT " literal("the membership of " name_of(token[4]) " in " role ", since a role of this name was there before") \
        " WHERE EXISTS (SELECT FROM pg_temp.had WHERE rolname = " literal(role) ") AND " absent(name_of(token[4])) ";"
    }
  } else if (starts("CREATE TABLESPACE") || starts("ALTER TABLESPACE") || starts("COMMENT ON TABLESPACE")) {
    if (starts("CREATE")) skip("the tablespace " name_of(token[3]))
  } else if (starts("SECURITY LABEL")) skip("a security label")
  else if (starts("GRANT") || starts("REVOKE")) {
    for (i = 2; i < tokens && token[i] != "ON"; i++) ;
    if (token[i + 1] != "PARAMETER" && token[i + 1] != "TABLESPACE") fail("a grant that is of no role, parameter or tablespace")
    if (starts("GRANT")) skip("rights on the " (token[i + 1] == "PARAMETER" ? "parameter " : "tablespace ") name_of(token[i + 2]))
  } else fail("a statement that pg_dumpall does not write")
  tokens = 0
}
BEGIN { open = "" }
{
  line = $0
  if (open == "") {
    if (line ~ /^\\restrict [A-Za-z0-9]+$/ && !key && !seen && !tokens) { key = substr(line, 11); next }
    if (line ~ /^\\unrestrict [A-Za-z0-9]+$/ && key && !ended && !tokens && substr(line, 13) == key) { ended = 1; next }
    if (line ~ /^\\/) fail("a command of psql")
  }
  n = length(line)
  for (i = 1; i <= n; i++) {
    c = substr(line, i, 1)
    if (open != "") {
      word = word c
      if (open == "E" && c == "\\") {
        if (i == n) { word = word "\n"; break_kept = 1 } else word = word substr(line, ++i, 1)
      } else if (c == (open == "\"" ? "\"" : "\047")) {
        if (substr(line, i + 1, 1) == c) word = word substr(line, ++i, 1)
        else { add(word); open = "" }
      }
      continue
    }
    if (c == " " || c == "\t") continue
    if (c == "-" && substr(line, i + 1, 1) == "-") break
    seen = 1
    if (c == "\047" || c == "\"") { open = c; word = c; continue }
    if (c == "E" && substr(line, i + 1, 1) == "\047") { open = "E"; word = "E\047"; i++; continue }
    if (c == ";") { statement(); continue }
    if (c ~ /[=,().]/) { add(c); continue }
    if (match(substr(line, i), /^[A-Za-z0-9_]+/)) {
      # A letter before a quote would make another kind of string of it.
      if (substr(line, i + RLENGTH, 1) ~ /[\047"&$]/) fail("a string of an unknown kind")
      add(substr(line, i, RLENGTH)); i += RLENGTH - 1; continue
    }
    fail("the character " c)
  }
  if (open != "") { if (!break_kept) word = word "\n"; break_kept = 0 }
}
END {
  if (bad) exit 3
  if (open != "" || tokens || (key && !ended)) { print "its end is missing" > reasons; exit 3 }
}'

# filter_globals FILE: writes \$work/globals.psql; refuses what it does not understand.
filter_globals() {
  : >"$work/skipped"
  "$bb" awk -v reasons="$work/reasons" -v skipped="$work/skipped" "$globals_awk" "$1" >"$work/globals.psql" ||
    refuse GlobalsUnsafe "The globals of the backup hold what pg_dumpall does not write: $("$bb" cat "$work/reasons"). Nothing of them was run. Read globals.sql, and make the roles by hand."
}

restore_globals() {
  if ! has "$("$bb" cat "$work/artifacts")" globals.sql; then
    refuse NotInBackup "The backup has no globals.sql. Restore with globals: false, and make the roles by hand."
  fi
  hear globals.sql "$work/globals.sql"
  filter_globals "$work/globals.sql"
  # In one transaction: a killed run leaves all of the missing roles or none, and existing ones are never altered.
  {
    echo 'BEGIN; CREATE TEMP TABLE had AS SELECT rolname FROM pg_catalog.pg_roles;'
    "$bb" cat "$work/globals.psql"
    echo 'COMMIT;'
  } >"$work/globals.run"
  must "$maintenance" <"$work/globals.run" >>"$work/skipped"
  "$bb" rm "$work"/globals.*
  while IFS= read -r line <&4; do leave_out "globals: $line"; done 4<"$work/skipped"
}

#### one table

# A program that gets an archive, which ends after its list of entries, must not end what sends the archive to others as well.
list_section() {
  pg_restore -l ${1:+"--section=$1"}
  list_status=$?
  "$bb" cat >/dev/null
  return $list_status
}

# Standard input is an archive, read once: writes the lists of its sections to $work/toc.*.
split_toc() {
  "$bb" mkfifo "$work/pre" "$work/data" || return
  list_section pre-data <"$work/pre" >"$work/toc.pre" & pre=$!
  list_section data <"$work/data" >"$work/toc.data" & data=$!
  "$bb" tee "$work/pre" "$work/data" | list_section post-data >"$work/toc.post" && wait $pre && wait $data
}

# The table as the facts know it: its schema, name and oid in the archive.
find_table() {
  knowing "$facts" <<'SQL' | sql "$maintenance" -v wanted="$BACKUP_TABLE" >"$work/table" || exit
SELECT schema || E'\n' || name || E'\n' || oid FROM json_to_recordset(:'facts'::json->'tables') AS t(schema text, name text, oid oid)
WHERE schema || '.' || name = :'wanted';
SQL
  case $("$bb" wc -l <"$work/table") in
    3) ;;
    0) some=$(knowing "$facts" <<'SQL' | sql "$maintenance"
SELECT string_agg(schema || '.' || name, ', ') || CASE WHEN count(*) = 20 THEN ', ...' ELSE '' END
FROM (SELECT schema, name FROM json_to_recordset(:'facts'::json->'tables') AS t(schema text, name text) LIMIT 20) t;
SQL
       ) || exit
       refuse NotInBackup "The backup's database $(quoted "$database") has no table $(quoted "$BACKUP_TABLE"). Write schema.table, without quotes, of an ordinary table; there are: $(printf %s "$some" | "$bb" tr '\000-\037' ' ')" ;;
    *) refuse NotInBackup "Several tables of the backup's database $(quoted "$database") can be meant by $(quoted "$BACKUP_TABLE"), since names have dots or line ends. Restore the database beside the old one, and copy the table." ;;
  esac
  { IFS= read -r schema; IFS= read -r table; IFS= read -r oid; } <"$work/table"
}

table_state() {
  must "$target" -v schema="$schema" -v name="$new_table" -v uid="$uid" <<SQL
SELECT coalesce((
  SELECT coalesce((
    SELECT CASE WHEN $(marked_sql "obj_description(c.oid, 'pg_class')" "'restored by Restore ' || :'uid'") THEN 'done' ELSE 'there' END
    FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relname = :'name'), 'absent')
  FROM pg_catalog.pg_namespace n WHERE n.nspname = :'schema'), 'no schema');
SQL
}

# Into a scratch database with all definitions, this table's rows and all indexes (the others' are of no rows); from there, renamed,
# into the target, in one transaction.
restore_table() {
  IFS= read -r line <"$work/dumps"
  plan_database "$line" 1
  hear ".facts/$database.dump" "$facts"
  find_table
  check_extensions
  wanted_state=$(state "$target") || exit
  [ "$wanted_state" != absent ] || refuse TargetMissing "There is no database $(quoted "$target") to restore the table into. Create it, or restore the whole database."
  new_table=$(must "$maintenance" -v name="$table" -v suffix="_$id" <<SQL
SELECT $(fit_sql ":'name'" ":'suffix'");
SQL
  ) || exit
  recover
  new_table_state=$(table_state) || exit
  case $new_table_state in
    done) note_table; return ;;
    there) refuse TargetNotEmpty "The table $(quoted "$schema.$new_table") exists in the database $(quoted "$target"), and is not of this Restore. Rename or drop it." ;;
    'no schema') refuse TargetMissing "The database $(quoted "$target") has no schema $(quoted "$schema"). Create it, with the types and functions that the table needs." ;;
  esac
  check_rights
  "$shared/feed" "$database.dump" "$bb" sh "$0" split-toc "$work" || exit
  {
    "$bb" grep -E '^[0-9]+;' "$work/toc.pre" |
      "$bb" grep -vE "^$entry (ACL|DEFAULT ACL|BLOBS?|BLOB METADATA|SUBSCRIPTION|PUBLICATION|EVENT TRIGGER|SECURITY LABEL) "
    "$bb" grep -E "^[0-9]+; [0-9]+ ($oid TABLE DATA|[0-9]+ SEQUENCE SET) " "$work/toc.data"
    "$bb" grep -E "^$entry (INDEX|INDEX ATTACH|CONSTRAINT|CHECK CONSTRAINT) " "$work/toc.post"
  } >"$work/list"
  "$bb" cp "$facts" "$work/properties"
  create_half
  feed_archive --no-owner --no-acl --no-tablespaces -L "$work/list" || exit
  rename_in_scratch
  PGDATABASE=$half_name PGCLIENTENCODING=UTF8 pg_dump -w -Fc -Z0 -t "$pattern" |
    PGDATABASE=$target PGOPTIONS="${PGOPTIONS:+$PGOPTIONS }-c default_transaction_read_only=off" \
      pg_restore -w -d '' --single-transaction --exit-on-error --no-owner --no-acl --no-tablespaces --no-publications || exit
  drop_half || exit
  half=
  note_table
}

# How a line of a list begins: number, catalog, oid.
entry='[0-9]+; [0-9]+ [0-9]+'

# Names that are unique in a schema must be free in the target, and a child of another table must not bring its rows in there. Sets
# `pattern`, which pg_dump takes for this table alone.
rename_in_scratch() {
  pattern=$(must "$half_name" -v schema="$schema" -v name="$table" -v new_name="$new_table" -v suffix="_$id" -v uid="$uid" <<SQL
SELECT format('%I.%I', :'schema', :'name')::regclass::oid AS table \\gset
SELECT CASE WHEN c.relispartition THEN format('ALTER TABLE %s DETACH PARTITION %s', p, :'table'::oid::regclass)
  ELSE format('ALTER TABLE %s NO INHERIT %s', :'table'::oid::regclass, p) END
FROM (SELECT inhrelid, inhparent::regclass AS p FROM pg_catalog.pg_inherits) i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
WHERE i.inhrelid = :'table' \\gexec
SELECT format('ALTER INDEX %s RENAME TO %I', c.oid::regclass, $(fit_sql c.relname::text ":'suffix'"))
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = :'table' \\gexec
SELECT format('ALTER SEQUENCE %s RENAME TO %I', c.oid::regclass, $(fit_sql c.relname::text ":'suffix'"))
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid
WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = :'table'
  AND d.deptype IN ('a', 'i') AND c.relkind = 'S' \\gexec
SELECT $(mark_sql "obj_description(:'table'::oid, 'pg_class')" "'restored by Restore ' || :'uid'") AS mark \\gset
COMMENT ON TABLE :"schema".:"name" IS :'mark';
ALTER TABLE :"schema".:"name" RENAME TO :"new_name";
SELECT '"' || replace(:'schema', '"', '""') || '"."' || replace(:'new_name', '"', '""') || '"';
SQL
  ) || exit
}

# The copy belongs to whom the table of the old name belongs. What is said of the rest: it is not in a list of one table's entries.
note_table() {
  must "$target" -v schema="$schema" -v name="$table" -v new_name="$new_table" <<'SQL'
SELECT format('ALTER TABLE %I.%I OWNER TO %I', :'schema', :'new_name', pg_get_userbyid(c.relowner))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :'schema' AND c.relname = :'name' AND c.relkind = 'r' \gexec
SQL
  leave_out "$schema.$table: grants; and, where it has them, foreign keys, triggers, rules, policies, extended statistics, publications and partitioned or inherited parents"
  if [ -f "$work/toc.post" ]; then
    SCHEMA_AND_TABLE="$schema $table " "$bb" awk -v entry="^$entry (FK CONSTRAINT|TRIGGER|RULE|POLICY|ROW SECURITY|PUBLICATION TABLE) " '
      match($0, entry) && index(substr($0, RLENGTH + 1), ENVIRON["SCHEMA_AND_TABLE"]) == 1 {
        sub(/^[0-9]+; [0-9]+ [0-9]+ /, ""); print
      }' "$work/toc.post" >"$work/others"
    while IFS= read -r line <&4; do leave_out "$line"; done 4<"$work/others"
  fi
  printf '{"database": %s, "as": %s, "table": %s, "previous": null}\n' "$(json_string "$database")" "$(json_string "$target")" \
    "$(json_string "$schema.$new_table")" >>"$work/made"
}

#### verify

# Standard input is an archive, read once to its end as a restore would read it: its SQL goes nowhere, its list to $work/toc.
read_through() {
  "$bb" rm -f "$work/list"
  "$bb" mkfifo "$work/list" || return
  list_section <"$work/list" >"$work/toc" & list=$!
  "$bb" tee "$work/list" | pg_restore -f /dev/null && wait $list
}

# Reads facts (JSON, without a server's help) and the list of an archive: writes the number of tables that the facts name, and those
# that the archive lacks. A string ends at a quote before which no odd number of backslashes stands.
compare_awk='
function decode(s,   out, i, c) {
  out = ""
  while (i = index(s, "\\")) {
    c = substr(s, i + 1, 1)
    out = out substr(s, 1, i - 1)
    if (c == "u") { out = out " "; s = substr(s, i + 6); continue }
    out = out (c ~ /[nrtbf]/ ? " " : c)
    s = substr(s, i + 2)
  }
  return out s
}
function outside(s,   i, c) {
  for (i = 1; i <= length(s); i++) {
    c = substr(s, i, 1)
    if (c == "{" || c == "[") { path[++depth] = key; key = ""; value = 0 }
    else if (c == "}" || c == "]") {
      if (c == "}" && depth == 3 && path[2] == "tables") { tables++; if (!(field["oid"] in toc) || index(toc[field["oid"]], field["schema"] " " field["name"] " ") != 1) print field["schema"] "." field["name"] }
      depth--
    } else if (c == ":") {
      key = last; value = 1
      if (match(substr(s, i), /^: *[0-9]+/)) { field[key] = substr(s, i + 1, RLENGTH - 1) + 0; i += RLENGTH - 1 }
    } else if (c == ",") value = 0
  }
}
BEGIN {
  while ((getline line < list) > 0)
    if (match(line, /^[0-9]+; 1259 [0-9]+ TABLE /)) { split(line, word, " "); toc[word[3]] = substr(line, RLENGTH + 1) }
  RS = "\""
}
{
  if (!inside) { outside($0); inside = 1; string = ""; next }
  string = string $0
  if (match($0, /\\+$/) && RLENGTH % 2) { string = string "\""; next }
  inside = 0
  if (value) field[key] = decode(string); else last = string
  value = 0
}
END { print tables + 0 > counted }'

verify() {
  : >"$work/made"
  : >"$work/left_out"
  BACKUP_DATABASE=
  read_backup
  lacking=
  while IFS= read -r database <&3; do
    facts=$work/facts
    hear ".facts/$database.dump" "$facts" 3<&-
    "$shared/feed" "$database.dump" "$bb" sh "$0" read-through "$work" 3<&- || exit
    "$bb" awk -v list="$work/toc" -v counted="$work/count" "$compare_awk" "$facts" >"$work/missing" || exit
    missing=
    while IFS= read -r line; do missing="$missing${missing:+, }$(json_string "$line")"; done <"$work/missing"
    [ -z "$missing" ] || lacking="$lacking${lacking:+; }$(quoted "$database"): $("$bb" head -n 5 "$work/missing" | "$bb" tr '\n' ' ')"
    printf '{"database": %s, "tables": %d, "missing": [%s]}\n' "$(json_string "$database")" "$("$bb" cat "$work/count")" "$missing" >>"$work/made"
  done 3<"$work/dumps"
  if has "$("$bb" cat "$work/artifacts")" globals.sql; then
    hear globals.sql "$work/globals.sql"
    filter_globals "$work/globals.sql"
  fi
  tell_result
  [ -z "$lacking" ] || refuse TablesMissing "The archive lacks tables that were counted when it was made. $lacking"
}

case $task in
  dump|restore|verify) begin; $task ;;
  # Parts that feed runs.
  split-toc) work=$2; split_toc ;;
  read-through) work=$2; read_through ;;
  *) say "what is $task? It is dump, restore or verify."; exit 64 ;;
esac
