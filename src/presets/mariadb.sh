# busybox sh SHARED/preset-mariadb.sh dump|restore|verify: MariaDB, and MySQL where the names of its client programs differ.
#
# Runs in the database's own image, with its client programs and nothing else of it. docs/presets/mariadb.md tells what it does and
# which settings it reads from its environment. What it refuses, it refuses before the first byte of an artifact: status 65, with the
# reason told by `.refused`. Any other status but 0 may be tried again.
#
# Names are hostile. A name goes into SQL as a hexadecimal literal or between backticks, and never into an option that has a syntax.
# A comparison with x'...' is one of bytes: on a server whose names have case, `Shop` is not `shop`. Lists of names are files with one
# a line, which is why names with a line break are refused. Restored SQL goes to a client that obeys no commands in it (load, below).
set -f -u -o pipefail
umask 077
IFS='
'
shared=${0%/*}
busybox=$shared/busybox
for tool in awk cat cut date dd fold grep head mkfifo mktemp rm sed tail tee tr wc xxd; do
  eval "$tool() { \"\$busybox\" $tool \"\$@\"; }"
done

say() { echo "preset-mariadb: $*" >&2; }

# refuse REASON SENTENCE: ends this script. Not from within $(...) or a pipe: there it would end only those.
refuse() {
  say "$1: $2"
  "$shared/artifact" .refused "$busybox" printf '%s\n%s\n' "$1" "$2"
  exit 65
}

# ---- The server

first_installed() {
  for program in "$@"; do
    command -v "$program" >/dev/null && { echo "$program"; return; }
  done
  return 1
}

# The first version number in what `--version` says; MariaDB's with its name, as its servers say theirs.
client_version() {
  "$1" --no-defaults --version |
    sed -n -e 's/.*[ ,]\([0-9][0-9]*\.[0-9.]*-MariaDB\).*/\1/p;t' -e 's/.* Ver \([0-9][0-9]*\.[0-9][0-9.]*\).*/\1/p'
}

kind_of() { case $1 in *MariaDB*) echo mariadb ;; *) echo mysql ;; esac; }

# The series of a version as one number: 10.11.19 is 10011.
series() {
  set -- "${1%%[!0-9.]*}"
  set -- "${1%%.*}" "${1#*.}"
  echo $(($1 * 1000 + ${2%%.*}))
}

# option KEY VALUE: a line of an option file, whatever is in VALUE.
option() {
  printf '%s="' "$1"
  printf '%s' "$2" | sed -e 's/[\\"]/\\&/g' -e 's/\t/\\t/g' -e 's/\r/\\r/g' -e '$!s/$/\\n/' | tr -d '\n'
  printf '"\n'
}

# The password goes through a file that only this user can read: argv is everybody's, and so is the environment of a child.
write_connection() {
  password=${MYSQL_PWD-}
  if [ -n "${BACKUP_PASSWORD_FILE-}" ]; then
    password=$(cat "$BACKUP_PASSWORD_FILE") ||
      refuse LoginRefused "the password file $BACKUP_PASSWORD_FILE cannot be read; mount the Secret that holds it, readable for this user"
  fi
  unset MYSQL_PWD
  tls_mode=${BACKUP_SSL_MODE-}
  authority=$(existing "${BACKUP_SSL_CA-}")
  [ -n "$tls_mode" ] || [ -z "$authority" ] || tls_mode=verify-full
  case $tls_mode,$authority in
    verify-*,) refuse TlsFileMissing "the mode $tls_mode needs the authority to check the server against, and there is no file ${BACKUP_SSL_CA:-for it}; put it into the Secret as ca.crt" ;;
  esac
  {
    echo '[client]'
    option host "${MYSQL_HOST:-localhost}"
    option port "${MYSQL_TCP_PORT:-3306}"
    option user "${BACKUP_USER-}"
    option password "$password"
    write_tls
  } >"$work/connection"
}

existing() { [ -z "$1" ] || [ ! -e "$1" ] || echo "$1"; }

# Secrets are mounted as optional: a file that is named may not be there.
write_tls() {
  for pair in "ssl-cert $(existing "${BACKUP_SSL_CERT-}")" "ssl-key $(existing "${BACKUP_SSL_KEY-}")" "ssl-ca $authority"; do
    [ -z "${pair#* }" ] || option "${pair%% *}" "${pair#* }"
  done
  # MariaDB's client checks the chain wherever it has an authority, and newer ones a certificate without any unless told otherwise.
  case $client_kind,$tls_mode in
    mariadb,disable) echo skip-ssl ;;
    mariadb,require|mariadb,verify-ca) printf 'ssl\nskip-ssl-verify-server-cert\n' ;;
    mariadb,verify-full) printf 'ssl\nssl-verify-server-cert\n' ;;
    mysql,disable) echo ssl-mode=DISABLED ;;
    mysql,prefer) echo ssl-mode=PREFERRED ;;
    mysql,require) echo ssl-mode=REQUIRED ;;
    mysql,verify-ca) echo ssl-mode=VERIFY_CA ;;
    mysql,verify-full) echo ssl-mode=VERIFY_IDENTITY ;;
  esac
}

# Runs the SQL of its standard input. The answer has one row a line, a tab between columns, and nothing escaped.
# Every statement means the same on each server: no mode that changes quotes, and no wait for a lock without end.
sql() {
  {
    echo "SET SESSION sql_mode = '', lock_wait_timeout = 60, foreign_key_checks = 0;"
    cat
  } | "$client" --defaults-file="$work/connection" --default-character-set=utf8mb4 --batch --raw --skip-column-names \
    --connect-timeout=20 --comments --binary-mode --local-infile=0 --skip-reconnect "$@" 2>"$work/error"
}

# The first error. Not all that the client wrote: it repeats the statement, with what is in it.
sql_failure() { grep -a '^[ -~]*[Ee][Rr][Rr][Oo][Rr]\|^[a-z-]*dump: ' "$work/error" | head -n 1 | cut -c 1-400; }
sql_error_number() { sql_failure | sed -n 's/^ERROR \([0-9]*\).*/\1/p'; }

# Errors of the moment: the operating system's, want of memory or disk, locks, a shutdown, a connection that is lost. They say nothing of
# the statement, so that nothing is concluded from them.
has_passing_error() {
  grep -a -q '^ERROR \([0-9]\{1,3\}\|10\(21\|30\|37\|38\|41\|53\)\|11\(14\|35\)\|1205\|1213\|1317\|2[0-9]\{3\}\) ' "$work/error"
}

# What to do when `sql` has failed at WHAT: without a right nothing will change by itself; all else may.
give_up() {
  case $(sql_error_number) in
    1044|1142|1143|1227|1370|1419) refuse RightsMissing "$1: $(sql_failure); $2" ;;
  esac
  say "$1: $(sql_failure)"
  exit 1
}

# 256 bytes are a line, and a name has 64 characters.
hex() { printf %s "$1" | xxd -p -c 256; }
ident() { printf '`'; printf %s "$1" | sed 's/`/``/g' | tr -d '\n'; printf '`'; }
# SQL for what `ident` does, of an expression.
ident_of() { echo "CONCAT('\`', REPLACE($1, '\`', '\`\`'), '\`')"; }
# SQL for the account `user@host` of a column that says it so; a role has no host.
account_of() {
  echo "CONCAT($(ident_of "LEFT($1, CHAR_LENGTH($1) - CHAR_LENGTH(SUBSTRING_INDEX($1, '@', -1)) - 1)"),
    IF($1 LIKE '%@', '', CONCAT('@', $(ident_of "SUBSTRING_INDEX($1, '@', -1)"))))"
}

# without LIST FILE: the lines of FILE that LIST does not have. Not by grep: busybox's finds none when LIST is empty.
without() { awk -v list="$1" 'BEGIN { while ((getline line <list) > 0) have[line] } !($0 in have)' "$2"; }
list() { head -n "${2:-10}" "$1" | sed ':a;N;$!ba;s/\n/, /g'; }
json_text() { printf '"'; printf %s "$1" | tr '\001-\037' ' ' | sed 's/[\\"]/\\&/g' | tr -d '\n'; printf '"'; }

connect() {
  client=$(first_installed mariadb mysql) && dumper=$(first_installed mariadb-dump mysqldump) ||
    refuse ClientMissing 'this image has no mariadb and mariadb-dump (nor mysql and mysqldump) in its PATH; set the image of the server'
  client_version=$(client_version "$dumper")
  client_kind=$(kind_of "$client_version")
  write_connection
  if ! server_version=$(echo 'SELECT VERSION();' | sql); then
    case $(sql_error_number) in
      1045|1130|1131|1251|1275|1698|1820|1862|2059|4151)
        refuse LoginRefused "the server does not let ${BACKUP_USER-} in: $(sql_failure); check the account and the Secret that holds its password" ;;
      *) refuse ServerUnreachable "no answer from ${MYSQL_HOST:-localhost}:${MYSQL_TCP_PORT:-3306}: $(sql_failure); check that the server runs, its address, and its demands on TLS" ;;
    esac
  fi
  server_kind=$(kind_of "$server_version")
  [ "$client_kind" = "$server_kind" ] ||
    refuse ClientOfOtherKind "the client is $client_kind $client_version, the server $server_kind $server_version; use the image of the server"
  [ "$(series "$client_version")" -ge "$(series "$server_version")" ] ||
    refuse ClientOlderThanServer "the client $client_version is older than the server $server_version, and may not know all that is in it; use the image of the server"
  export client dumper client_kind client_version server_version server_kind
}

# has_option PROGRAM OPTION. By a file: a pipe to `grep -q` ends the program before its time, which looks like a failure.
has_option() { "$1" --no-defaults --help >"$work/help" && grep -q -e "^ *\(-., \)\?$2\b" "$work/help"; }

# Arguments: options. Then the database, and its tables if not all.
run_dumper() {
  "$dumper" --defaults-file="$work/connection" --default-character-set=utf8mb4 --single-transaction --skip-lock-tables \
    --skip-add-locks --hex-blob --max-allowed-packet=1G $optional "$@"
}

# --skip-add-locks above: under LOCK TABLES, a column whose default is a sequence cannot be loaded below another name of the database.
choose_options() {
  optional=
  for name in --no-tablespaces --dump-history --set-gtid-purged --column-statistics; do
    has_option "$dumper" "$name" || continue
    case $name in --set-gtid-purged) name=$name=OFF ;; --column-statistics) name=$name=0 ;; esac
    optional="$optional$name
"
  done
  export optional
}

# MariaDB can create triggers and events by a prepared statement from 10.6 on, and renames many tables as one.
is_swappable_server() { [ "$server_kind" = mariadb ] && [ "$(series "$server_version")" -ge 10006 ]; }

# ---- Dump

dump() {
  connect
  choose_options
  choose_databases
  check_rights
  check_content
  {
    echo "SELECT JSON_OBJECT('preset', '$server_kind', 'serverVersion', VERSION(), 'clientVersion', '$client_version');"
  } | sql >"$work/engine" || give_up 'the version of the server' 'this needs no right'
  "$shared/artifact" .engine "$busybox" cat "$work/engine" || exit
  while IFS= read -r DATABASE <&3; do
    export DATABASE
    write_facts >"$work/facts" || give_up "what is in $DATABASE" "$grants"
    "$shared/artifact" ".facts/$DATABASE.sql" "$busybox" cat "$work/facts" || exit
    "$shared/artifact" "$DATABASE.sql" "$busybox" sh "$0" dump-database || exit
  done 3<"$work/databases"
  # No database of a user has this name.
  [ "${BACKUP_USERS:-true}" != true ] || "$shared/artifact" mysql.sql "$busybox" sh "$0" dump-accounts || exit
}

# Databases of users, but for those that a Restore is just making.
choose_databases() {
  sql >"$work/all" <<SQL || give_up 'the list of databases' 'this needs no right'
SELECT SCHEMA_NAME FROM information_schema.SCHEMATA
WHERE BINARY SCHEMA_NAME NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')
  AND BINARY SCHEMA_NAME NOT IN
    (SELECT BINARY TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_NAME LIKE '\\_backup\\_restore\\_%')
  AND SCHEMA_NAME NOT LIKE '%\\n%' ORDER BY SCHEMA_NAME;
SQL
  sql >"$work/bad" <<SQL || give_up 'the list of databases' 'this needs no right'
SELECT REPLACE(SCHEMA_NAME, '\\n', '?') FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '%\\n%';
SQL
  printf '%s' "${BACKUP_EXCLUDE-}" | grep -v '^$' >"$work/exclude"
  printf '%s' "${BACKUP_DATABASES-}" | grep -v '^$' >"$work/wanted"
  without "$work/all" "$work/wanted" >"$work/missing"
  [ ! -s "$work/missing" ] ||
    refuse DatabaseMissing "no such database on the server: $(list "$work/missing"); take it off the list, or give the account rights on it"
  [ -s "$work/wanted" ] || cat "$work/all" >"$work/wanted"
  without "$work/exclude" "$work/wanted" >"$work/databases"
  [ ! -s "$work/bad" ] || [ -n "${BACKUP_DATABASES-}" ] ||
    refuse NameUnsupported "a database has a line break in its name: $(list "$work/bad"); rename it, or say which databases to back up"
  grep '^\.' "$work/databases" >"$work/dotted"
  [ ! -s "$work/dotted" ] ||
    refuse NameUnsupported "a database has a name that begins with a dot: $(list "$work/dotted"); rename it, or exclude it"
  refuse_half_swapped
  [ -s "$work/databases" ] || refuse NothingToDump 'the server has no database but its own; there is nothing to back up'
  chosen=$(while IFS= read -r name; do printf "SELECT x'%s' AS name\nUNION ALL " "$(hex "$name")"; done <"$work/databases")
  chosen="(${chosen%
UNION ALL }) AS chosen"
}

# While a Restore swaps a database, its code is in a journal. A dump would be without, and look whole.
refuse_half_swapped() {
  echo "SELECT CONCAT($(ident_of TABLE_SCHEMA), '.', $(ident_of TABLE_NAME)) FROM information_schema.TABLES WHERE TABLE_NAME LIKE '\\_backup\\_restore\\_%';" |
    sql >"$work/journals" || give_up 'the journals of Restores' 'this needs no right'
  while IFS= read -r name <&3; do
    echo "SELECT body FROM $name WHERE kind = 'ready';" | sql >"$work/swapped" || continue
    grep -xF -f "$work/swapped" "$work/databases" >"$work/half" && [ -s "$work/swapped" ] || continue
    refuse RestoreUnfinished "a Restore is exchanging the content of $(list "$work/half"), whose triggers and views are in $name meanwhile; wait until it has ended, or run it again"
  done 3<"$work/journals"
}

# A right that is missing hides what it is for, silently: triggers, routines, whole databases. So it is asked for by its name.
check_rights() {
  account=$(echo "SELECT $(account_of 'CURRENT_USER()');" | sql) || give_up 'the name of the account' 'this needs no right'
  grants="run: GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON *.* TO $account"
  where='FALSE'
  [ -z "${BACKUP_DATABASES-}" ] || where='chosen.name LIKE s.TABLE_SCHEMA'
  sql >"$work/rights" <<SQL || give_up 'the rights of the account' 'this needs no right'
SET @me = CURRENT_USER();
SET @me = CONCAT('''', LEFT(@me, CHAR_LENGTH(@me) - CHAR_LENGTH(SUBSTRING_INDEX(@me, '@', -1)) - 1), '''@''', SUBSTRING_INDEX(@me, '@', -1), '''');
SELECT DISTINCT need FROM
  (SELECT 'SELECT' AS need UNION SELECT 'SHOW VIEW' UNION SELECT 'TRIGGER' UNION SELECT 'EVENT') AS needs JOIN $chosen
WHERE need NOT IN (SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = @me)
  AND NOT EXISTS (SELECT 1 FROM information_schema.SCHEMA_PRIVILEGES AS s
    WHERE s.GRANTEE = @me AND s.PRIVILEGE_TYPE = need AND $where);
SQL
  [ ! -s "$work/rights" ] ||
    refuse RightsMissing "the account $account lacks $(list "$work/rights") (rights by a role do not count), so that a dump would leave things out; $grants"
  if [ "$server_kind" = mariadb ]; then
    echo 'SELECT 1 FROM mysql.proc LIMIT 0;' | sql || give_up 'routines' "run: GRANT SELECT ON mysql.proc TO $account"
  fi
  [ "${BACKUP_USERS:-true}" != true ] || echo 'SELECT 1 FROM mysql.user LIMIT 0;' | sql ||
    give_up 'accounts' "run: GRANT SELECT ON mysql.* TO $account, or leave accounts out"
}

check_content() {
  sql >"$work/names" <<SQL || give_up 'the names of what is in the databases' "$grants"
SELECT CONCAT(QUOTE(s), '.', QUOTE(n)) FROM (
  SELECT TABLE_SCHEMA AS s, TABLE_NAME AS n FROM information_schema.TABLES
  UNION ALL SELECT ROUTINE_SCHEMA, ROUTINE_NAME FROM information_schema.ROUTINES
  UNION ALL SELECT TRIGGER_SCHEMA, TRIGGER_NAME FROM information_schema.TRIGGERS
  UNION ALL SELECT EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS) AS names
JOIN $chosen ON s = chosen.name WHERE n LIKE '%\\n%';
SQL
  [ ! -s "$work/names" ] || refuse NameUnsupported "a name has a line break: $(list "$work/names"); rename it"
  while IFS= read -r name <&3; do
    split_views "$name" || give_up "the views of $name" "$grants"
    sed "s/^/$(printf %s "$name" | sed 's/[\\/&]/\\&/g')./" "$work/broken"
  done 3<"$work/databases" >"$work/all-broken"
  [ ! -s "$work/all-broken" ] ||
    refuse ViewInvalid "views cannot be read, and so not be dumped: $(list "$work/all-broken"); what they refer to is not there, their definer lacks rights, or this account may not EXECUTE a function in them: repair or drop them, or GRANT EXECUTE ON FUNCTION"
  [ "${BACKUP_ALLOW_NON_TRANSACTIONAL-}" = true ] && return
  sql >"$work/engines" <<SQL || give_up 'the engines of the tables' "$grants"
SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME, ' (', IFNULL(t.ENGINE, 'unreadable'), ')')
FROM information_schema.TABLES AS t JOIN $chosen ON TABLE_SCHEMA = chosen.name
LEFT JOIN information_schema.ENGINES AS e ON e.ENGINE = t.ENGINE
WHERE TABLE_TYPE NOT IN ('VIEW', 'SEQUENCE') AND IFNULL(e.TRANSACTIONS, 'NO') <> 'YES';
SQL
  [ ! -s "$work/engines" ] ||
    refuse NonTransactionalTables "tables whose engine has no transactions change while they are dumped, so that their rows do not fit together: $(list "$work/engines"); convert them to InnoDB, or allow it (allowNonTransactional)"
}

# split_views DATABASE: the views that can be read to $work/views, the others to $work/broken. By reading their columns, as the dump
# does: information_schema tells only of some that are broken.
split_views() {
  of="FROM information_schema.TABLES WHERE TABLE_SCHEMA = x'$(hex "$1")' AND TABLE_TYPE = 'VIEW' ORDER BY TABLE_NAME;"
  echo "SELECT TABLE_NAME $of" | sql >"$work/view-names" &&
    echo "SELECT CONCAT('SHOW FIELDS FROM ', $(ident_of TABLE_SCHEMA), '.', $(ident_of TABLE_NAME), ';') $of" | sql >"$work/statements" || return
  sql --force <"$work/statements" >/dev/null
  ! has_passing_error || return
  # The client counts lines from the one that `sql` puts before them.
  LINES_OF_BROKEN=$(sed -n 's/^ERROR .* at line \([0-9]*\): .*/\1/p' "$work/error") awk -v broken="$work/broken" -v views="$work/views" '
    BEGIN { printf "" >broken; printf "" >views; split(ENVIRON["LINES_OF_BROKEN"], lines); for (i in lines) bad[lines[i] - 1] }
    { print >(NR in bad ? broken : views) }' "$work/view-names"
}

# What can be compared later. Numbers of rows are the engine's estimates: to count would read everything twice.
write_facts() {
  schema="x'$(hex "$DATABASE")'"
  sql >"$work/rows" <<SQL || return
SELECT JSON_OBJECT('database', SCHEMA_NAME, 'charset', DEFAULT_CHARACTER_SET_NAME, 'collation', DEFAULT_COLLATION_NAME,
  'views', (SELECT COUNT(*) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = $schema),
  'routines', (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = $schema),
  'triggers', (SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = $schema),
  'events', (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = $schema))
FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = $schema;
SELECT JSON_OBJECT('schema', TABLE_SCHEMA, 'name', TABLE_NAME, 'rows', TABLE_ROWS, 'exact', FALSE, 'engine', ENGINE)
FROM information_schema.TABLES WHERE TABLE_SCHEMA = $schema AND TABLE_TYPE <> 'VIEW' ORDER BY TABLE_NAME;
SQL
  # Not JSON_ARRAYAGG: group_concat_max_len cuts it. Facts may have 1 MiB: without the tables when that is too little.
  [ "$(wc -c <"$work/rows")" -le 1000000 ] || sed -i -e '1s/}$/, "tablesLeftOut": true}/' -e '1q' "$work/rows"
  sed -e '1s/}$/, "tables": [/' -e '1!{$!s/$/,/}' -e '$s/$/]}/' "$work/rows"
}

# The whole line at the end of what the client dumps; without it the dump is not whole, whatever its status said.
has_trailer() { case $(tail -n 1 "$1") in '-- Dump completed'*) [ -z "$(tail -c 1 "$1")" ] ;; *) return 1 ;; esac; }

# CMD of `artifact`: the database DATABASE.
dump_database() {
  mkfifo "$work/ending" || exit
  tail -c 128 <"$work/ending" >"$work/last" &
  last=$!
  if is_swappable_server; then late=--skip-triggers; else late='--triggers
--events'; fi
  run_dumper --routines $late -- "$DATABASE" | copy "$work/ending" || exit
  wait $last && rm "$work/ending"
  has_trailer "$work/last" || { say "the dump of $DATABASE ended without its last line: it is not whole"; exit 74; }
  is_swappable_server || return 0
  write_late_code "$DATABASE" trigger event || exit
  echo "-- Dump completed, triggers and events included"
}

# copy FILE: hands its input on, and writes it to FILE. By the tee of the image, if it has one: the applet copies single KiB.
copy() {
  program=
  separator=$IFS IFS=:
  for directory in $PATH; do
    [ -z "$program" ] && [ -f "$directory/tee" ] && [ -x "$directory/tee" ] && program=$directory/tee
  done
  IFS=$separator
  if [ -n "$program" ]; then "$program" "$1"; else tee "$1"; fi
}

# Triggers and events, which act by themselves. Everywhere else these statements create them. For who has set @backup_keep they are put
# aside by its statement instead, to be created when all else is in its place: an event must not run in a database that is half there,
# and a trigger whose text names its database can be created only there.
# Not by the dump's own --events: it takes the quotes in a database's name for the database.
write_late_code() {
  database=$1
  shift
  printf "\n--\n-- Triggers and events\n--\n\nSET NAMES utf8mb4;\n"
  printf "SET @old_sql_mode = @@sql_mode, @old_time_zone = @@time_zone, @old_collation = @@collation_connection;\n"
  for kind in "$@"; do
    case $kind in
      trigger) echo "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = x'$(hex "$database")'
        ORDER BY EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER;" ;;
      event) echo "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = x'$(hex "$database")' ORDER BY EVENT_NAME;" ;;
      *) echo "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = x'$(hex "$database")' AND ROUTINE_TYPE = '$kind' ORDER BY ROUTINE_NAME;" ;;
    esac | sql >"$work/late" || { say "$(sql_failure)"; return 1; }
    while IFS= read -r NAME; do
      export NAME
      echo "SHOW CREATE $kind $(ident "$database").$(ident "$NAME");" | sql >"$work/code" || { say "$(sql_failure)"; return 1; }
      [ "$(tr -d '\000' <"$work/code" | wc -c)" = "$(wc -c <"$work/code")" ] || { say "the $kind $NAME has a NUL character"; return 1; }
      [ "$kind" != event ] || printf 'DROP EVENT IF EXISTS %s;\n' "$(ident "$NAME")"
      late_statements "$kind" "$work/code" || return
    done <"$work/late"
  done
  printf "SET sql_mode = @old_sql_mode, time_zone = @old_time_zone, collation_connection = @old_collation;\n\n"
}

# The columns of SHOW CREATE TRIGGER: name, mode, statement, three character sets, time; of EVENT: name, mode, zone, statement, three
# character sets; of routines: as of a trigger, without the time. Only the name, which is known, and the statement may hold tabs and line breaks.
late_statements() {
  awk -v kind="$1" '
    function text(s) { gsub(/[\\\047]/, "&&", s); return "\047" s "\047" }
    function first() { at = index(row, "\t"); head = substr(row, 1, at - 1); row = substr(row, at + 1); return head }
    function last() { match(row, /\t[^\t]*$/); end = substr(row, RSTART + 1); row = substr(row, 1, RSTART - 1); return end }
    { row = row (NR > 1 ? "\n" : "") $0 }
    END {
      if (row == "") exit 1
      row = substr(row, length(ENVIRON["NAME"]) + 2)
      mode = first()
      zone = kind == "event" ? first() : ""
      if (kind == "trigger") last()
      last()
      collation = last()
      last()
      print "SET sql_mode = \047\047;"
      print "SET @backup_kind = " text(kind) ", @backup_name = " text(ENVIRON["NAME"]) ", @backup_sql = " text(row) ";"
      print "SET sql_mode = " text(mode) ", collation_connection = " text(collation) (zone == "" ? "" : ", time_zone = " text(zone)) ";"
      print "EXECUTE IMMEDIATE IFNULL(@backup_keep, @backup_sql);"
    }' "$2"
}

# Each account and role as SQL writes it, after an N or, for a role, a Y.
list_accounts() {
  case $server_kind in mariadb) is_role=is_role ;; mysql) is_role="'N'" ;; esac
  sql <<SQL
SELECT CONCAT($is_role, $(ident_of User), IF($is_role = 'Y', '', CONCAT('@', $(ident_of Host)))) FROM mysql.user
WHERE User NOT IN ('mariadb.sys', 'mysql.sys', 'mysql.session', 'mysql.infoschema') ORDER BY $is_role DESC, User, Host;
SQL
}

# CMD of `artifact`: every account and role, and what each may. An account that exists keeps its password when this is loaded.
# Not by the client's --system=users: it fails at the first account that skip_name_resolve hides, and resets passwords.
dump_accounts() {
  hexadecimal=
  [ "$server_kind" = mariadb ] || hexadecimal='SET SESSION print_identified_with_as_hex = ON;'
  list_accounts >"$work/accounts" || { say "$(sql_failure)"; exit 1; }
  : >"$work/creations"
  : >"$work/grants"
  while IFS= read -r line; do
    account=${line#?}
    case $line in
      Y*) echo "CREATE ROLE IF NOT EXISTS $account;" >>"$work/creations" ;;
      *)
        if echo "$hexadecimal SHOW CREATE USER $account;" | sql >"$work/account"; then
          sed -e '1s/^CREATE USER /CREATE USER IF NOT EXISTS /' -e '$s/$/;/' "$work/account" >>"$work/creations"
        else
          # Listed, and unknown: a host name, where the server resolves none. Nobody can log in by it.
          [ "$(sql_error_number)" = 1133 ] || { say "$(sql_failure)"; exit 1; }
          say "the account $account is left out: the server does not resolve names of hosts"
          continue
        fi ;;
    esac
    echo "SHOW GRANTS FOR $account;" | sql >"$work/account" || { say "$(sql_failure)"; exit 1; }
    ACCOUNT=$account awk '
      # What one may everywhere stands with the password: which is of the account, not of its rights.
      match($0, /^GRANT [A-Z, ]+ ON \*\.\* TO /) {
        head = substr($0, 1, RLENGTH) ENVIRON["ACCOUNT"]
        if (substr($0, 1, length(head)) != head) exit 1
        print head ($0 ~ / WITH GRANT OPTION( MAX_[A-Z_]+ [0-9.]+)*$/ ? " WITH GRANT OPTION;" : ";")
        next
      }
      { print $0 ";" }' "$work/account" >>"$work/grants" || { say "the rights of $account are not understood"; exit 1; }
  done <"$work/accounts"
  cat "$work/creations" "$work/grants"
  echo "-- Dump completed, accounts and their rights"
}

# ---- Restore
#
# A new database, or one that is empty, is loaded below its final name. One that has content is never loaded into: the backup is loaded
# beside it, checked, and all tables change places in one RENAME TABLE. What RENAME TABLE refuses or does not move (triggers, views,
# routines, events) is taken away before it and made again after it, from a journal.
#
# TARGET  <t>                     the database that shall have the backup's content
# BESIDE  <t>_restoring_<id>      the backup's content until the RENAME; what of it is code goes into the journal
# BEFORE  <t>_before_<id>         the former content, from the RENAME on
# JOURNAL _backup_restore_<id>    a table. Where it lies tells what has happened, and that the database is this Restore's to drop:
#   in the new TARGET or in BESIDE, without a row `ready`: it is being loaded. Whoever comes next drops the database and begins again.
#   in BESIDE with `ready`: all that is needed is in BESIDE and the journal; TARGET may have lost code. Go on from there.
#   in BEFORE: the RENAME has happened; it moves the journal as well. Make the code again.
# Whose comment names this Restore is done, wherever the journal is: doing it again only clears up.

restore() {
  began=$(date +%s)
  id=${BACKUP_RESTORE_ID-} uid=${BACKUP_RESTORE_UID-}
  case $id in ''|*[!a-z0-9]*) say 'BACKUP_RESTORE_ID: letters a-z and digits are expected'; exit 64 ;; esac
  case $uid in ''|*[!A-Za-z0-9-]*) say 'BACKUP_RESTORE_UID: letters, digits and dashes are expected'; exit 64 ;; esac
  journal=_backup_restore_$id
  done_mark="(restored by Restore $uid)"
  export journal
  connect
  choose_options
  client_options='--max-allowed-packet=1G'
  ! has_option "$client" --sandbox || client_options="$client_options
--sandbox"
  export client_options
  : >"$work/left-out"
  "$shared/feed" .artifacts "$busybox" cat >"$work/artifacts" || exit
  "$shared/feed" .engine "$busybox" cat >"$work/engine" || exit
  check_version "$(facts_of serverVersion "$work/engine")"
  choose_artifacts
  while IFS= read -r DATABASE <&3; do
    name_databases
    check_target
  done 3<"$work/databases"
  with_accounts || exit
  : >"$work/results"
  while IFS= read -r DATABASE <&3; do
    export DATABASE
    name_databases
    restore_database
    printf '%s{"database":%s,"as":%s,"previous":%s}' "$(test ! -s "$work/results" || echo ,)" \
      "$(json_text "$DATABASE")" "$(json_text "$target")" "$kept" >>"$work/results"
  done 3<"$work/databases"
  with_accounts report || exit
  report_definers
  {
    printf '{"databases":[%s],"leftOut":[' "$(cat "$work/results")"
    separator=
    while IFS= read -r line; do printf '%s%s' "$separator" "$(json_text "$line")"; separator=,; done <"$work/left-out"
    printf '],"seconds":%s}\n' $(($(date +%s) - began))
  } >"$work/result"
  "$shared/artifact" .result "$busybox" cat "$work/result" || exit
}

left_out() { echo "$*" >>"$work/left-out"; }

# facts_of KEY FILE: the values of this key wherever it stands in the JSON, a line each. Strings are told apart by their quotes first.
facts_of() {
  awk -v want="$1" '
    BEGIN { RS = "\"" }
    function escaped(s) { match(s, /\\*$/); return RLENGTH % 2 }
    function plain(s,   out, c) {
      while (match(s, /\\/)) {
        out = out substr(s, 1, RSTART - 1)
        c = substr(s, RSTART + 1, 1)
        if (c == "u") { out = out sprintf("%c", hexadecimal(substr(s, RSTART + 2, 4))); s = substr(s, RSTART + 6); continue }
        out = out (c == "n" ? "\n" : c == "t" ? "\t" : c == "r" ? "\r" : c == "b" ? "\b" : c == "f" ? "\f" : c)
        s = substr(s, RSTART + 2)
      }
      return out s
    }
    function hexadecimal(s,   i, n) { for (i = 1; i <= 4; i++) n = n * 16 + index("0123456789abcdef", tolower(substr(s, i, 1))) - 1; return n }
    inside { piece = piece $0; if (escaped($0)) { piece = piece "\""; next } inside = 0; next }
    {
      if ($0 ~ /^[ \t\r\n]*:/) {
        key = piece
        if (key == want && match($0, /-?[0-9]+/)) print substr($0, RSTART, RLENGTH)
      } else if (NR > 1) {
        if (key == want) print plain(piece)
        key = ""
      }
      inside = 1
      piece = ""
    }' "$2"
}

check_version() {
  [ "$(kind_of "$1")" = "$server_kind" ] ||
    refuse OtherEngine "the backup is of $(kind_of "$1") $1, the server is $server_kind $server_version; restore to a server of that kind"
  [ "$(series "$server_version")" -ge "$(series "$1")" ] ||
    refuse ServerOlder "the backup is of a server $1, and this one is $server_version: older servers do not know all that newer ones write; restore to $1 or newer"
}

choose_artifacts() {
  sed -n '/^mysql\.sql$/!s/\.sql$//p' "$work/artifacts" >"$work/databases"
  if [ -n "${BACKUP_DATABASE-}" ]; then
    grep -xF -e "$BACKUP_DATABASE" "$work/databases" >"$work/one" ||
      refuse NotInBackup "the backup has no database $BACKUP_DATABASE; it has $(list "$work/databases" 20)"
    cat "$work/one" >"$work/databases"
  fi
  [ -s "$work/databases" ] || refuse NotInBackup 'the backup has no database'
  [ "${BACKUP_USERS-}" != true ] || grep -qx 'mysql\.sql' "$work/artifacts" ||
    refuse NotInBackup 'the backup has no accounts; restore without them'
  [ -z "${BACKUP_INTO-}" ] || [ "$(wc -l <"$work/databases")" = 1 ] ||
    refuse IntoNeedsOneDatabase "one name cannot be that of several databases: $(list "$work/databases" 20); say which one"
  case ${BACKUP_INTO-} in
    mysql|sys|performance_schema|information_schema) refuse NameUnsupported "$BACKUP_INTO is the server's own database; choose another name" ;;
    .*|*"$IFS"*) refuse NameUnsupported "a database's name may not begin with a dot or have a line break; choose another name" ;;
  esac
}

# 64 characters are the limit. What is cut is hashed, so that two long names stay two.
name_databases() {
  target=${BACKUP_INTO:-$DATABASE}
  schema="x'$(hex "$target")'"
  names=$(for what in restoring before; do
    suffix=_${what}_$id
    room=$((64 - ${#suffix}))
    echo "SET @n = CONVERT($schema USING utf8mb4);
    SELECT CONCAT(IF(CHAR_LENGTH(@n) <= $room, @n, CONCAT(LEFT(@n, $room - 7), '_', LEFT(MD5(@n), 6))), '$suffix');"
  done | sql) || give_up "the names for $target" 'this needs no right'
  beside=${names%"$IFS"*} before=${names#*"$IFS"}
}

# database_state NAME: absent, done (by this Restore), ours (this Restore's to drop), ready (ours, with all that a swap needs), empty,
# or full.
database_state() {
  state_of="x'$(hex "$1")'"
  comment="''"
  ! has_comments || comment=SCHEMA_COMMENT
  state=$(sql <<SQL
SELECT IF($comment LIKE '%$done_mark', 'done',
  IF((SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = $state_of AND TABLE_NAME = '$journal' AND TABLE_COMMENT = '$uid'), 'ours',
  IF((SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = $state_of)
   + (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = $state_of)
   + (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = $state_of), 'full', 'empty')))
FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = $state_of;
SQL
  ) || return
  if [ "$state" = ours ]; then
    state=$(echo "SELECT IF(COUNT(*) > 0, 'ready', 'ours') FROM $(ident "$1").$journal WHERE kind = 'ready';" | sql) || return
  fi
  echo "${state:-absent}"
}

has_comments() { [ "$server_kind" = mariadb ] && [ "$(series "$server_version")" -ge 10005 ]; }

look() {
  target_state=$(database_state "$target") && beside_state=$(database_state "$beside") &&
    before_state=$(database_state "$before") || give_up "the state of $target" "$restore_rights"
}

restore_rights="restore with the server's administrator"

# Before the first byte, for all databases: what cannot be done, or would destroy something.
check_target() {
  look
  case $target_state in absent|empty|ours|done) return ;; esac
  case $beside_state,$before_state in ready,*|*,ready) return ;; esac
  [ "${BACKUP_OVERWRITE-}" = true ] ||
    refuse TargetNotEmpty "the database $target has content; restore under another name, or say overwrite: true"
  is_swappable_server ||
    refuse SwapUnsupported "$server_kind $server_version: only MariaDB 10.6 and newer rename many tables as one; restore under another name"
  for name in "$beside" "$before"; do
    case $name,$beside_state,$before_state in
      "$beside",full,*|"$beside",done,*|"$before",*,full|"$before",*,done|"$before",*,empty)
        refuse NameTaken "the database $name is in the way, and is not of this Restore; drop or copy it" ;;
    esac
  done
  check_swappable "$target" || refuse SwapUnsupported "$why; restore under another name"
}

# check_swappable DATABASE: whether all its tables can change places with others. Sets `why`.
check_swappable() {
  where="x'$(hex "$1")'"
  why=$(sql <<SQL
SELECT CONCAT('the foreign key ', CONSTRAINT_NAME, ' of ', CONSTRAINT_SCHEMA, '.', TABLE_NAME, ' refers to the database ', UNIQUE_CONSTRAINT_SCHEMA)
FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE (CONSTRAINT_SCHEMA = $where) <> (UNIQUE_CONSTRAINT_SCHEMA = $where)
UNION ALL
SELECT CONCAT('the table ', TABLE_SCHEMA, '.', TABLE_NAME, ' has the engine ', IFNULL(ENGINE, '(unreadable)')) FROM information_schema.TABLES
WHERE TABLE_SCHEMA = $where AND TABLE_TYPE <> 'VIEW' AND IFNULL(ENGINE, '') NOT IN ('InnoDB', 'Aria', 'MyISAM')
UNION ALL
SELECT CONCAT('a name in ', TABLE_SCHEMA, ' has a line break') FROM information_schema.TABLES
WHERE TABLE_SCHEMA = $where AND TABLE_NAME LIKE '%\\n%'
LIMIT 1;
SQL
  ) || give_up "whether $1 can be swapped" "$restore_rights"
  [ -z "$why" ]
}

# Sets `kept`: the JSON of the name that the former content has now, or null.
restore_database() {
  kept=null
  look
  case $target_state in
    done) finish_left_overs; return ;;
    # A new one that was being loaded, also as seen by a second Restore of the same name.
    ours) drop_ours "$target"; load_new; return ;;
    absent|empty) case $beside_state,$before_state in ready,*|*,ready) ;; *) load_new; return ;; esac ;;
  esac
  [ "$before_state" != ready ] || { make_code; return; }
  if [ "$beside_state" != ready ]; then
    [ "$beside_state" != ours ] || drop_ours "$beside"
    load_beside
  fi
  take_code_away
  rename_tables
  make_code
}

# A database that was there, and empty, is there again: with nothing in it.
drop_ours() {
  adopted=$(echo "SELECT COUNT(*) FROM $(ident "$1").$journal WHERE kind = 'adopted';" | sql) || give_up "the journal in $1" "$restore_rights"
  {
    echo "DROP DATABASE $(ident "$1");"
    [ "$adopted" = 0 ] || echo "CREATE DATABASE $(ident "$1");"
  } | sql || give_up "to drop the unfinished $1" "$restore_rights"
}

# begin DATABASE: makes it, with the journal, and sees whether the account may make all that a backup has.
begin() {
  "$shared/feed" ".facts/$DATABASE.sql" "$busybox" cat >"$work/facts" || exit
  charset=$(facts_of charset "$work/facts") collation=$(facts_of collation "$work/facts")
  case $charset$collation in ''|*[!A-Za-z0-9_]*) say "the facts of $DATABASE name no character set"; exit 1 ;; esac
  began_empty=$(database_state "$1") || give_up "the state of $1" "$restore_rights"
  place=$(ident "$1")
  sql <<SQL || { what=$(sql_failure); undo "$1"; echo "$what" >"$work/error"; give_up "to make the database $1" "$restore_rights"; }
CREATE DATABASE IF NOT EXISTS $place CHARACTER SET $charset COLLATE $collation;
CREATE TABLE $place.$journal (n INT AUTO_INCREMENT PRIMARY KEY, kind VARCHAR(32) NOT NULL, name VARCHAR(64) NOT NULL DEFAULT '',
  mode TEXT, zone VARCHAR(64), collation VARCHAR(64), body LONGBLOB)
  ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin COMMENT='$uid';
$(test "$began_empty" = absent || echo "INSERT INTO $place.$journal (kind) VALUES ('adopted'); ALTER DATABASE $place CHARACTER SET $charset COLLATE $collation;")
USE $place;
CREATE TABLE _backup_probe (i INT);
CREATE DEFINER='_backup_probe'@'localhost' TRIGGER _backup_probe BEFORE INSERT ON _backup_probe FOR EACH ROW SET NEW.i = 1;
CREATE DEFINER='_backup_probe'@'localhost' VIEW _backup_probe_view AS SELECT 1 AS i;
CREATE DEFINER='_backup_probe'@'localhost' FUNCTION _backup_probe() RETURNS INT DETERMINISTIC RETURN 1;
CREATE DEFINER='_backup_probe'@'localhost' EVENT _backup_probe ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1;
DROP EVENT _backup_probe;
DROP FUNCTION _backup_probe;
DROP VIEW _backup_probe_view;
DROP TABLE _backup_probe;
SQL
}

# Nothing of this attempt stays. Where that fails, the next attempt finds it by the journal.
undo() {
  case $(database_state "$1") in ours|ready) (drop_ours "$1") ;; esac
}

# load DATABASE: the artifact goes to the client as it is. The end of its input comes only after its last byte was verified.
load() {
  INTO=$1 "$shared/feed" "$DATABASE.sql" "$busybox" sh "$0" load-dump || {
    status=$?
    undo "$1"
    say "$DATABASE was not loaded (status $status); nothing of it is left"
    exit 1
  }
  echo "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = x'$(hex "$1")' AND TABLE_TYPE <> 'VIEW' AND TABLE_NAME <> '$journal';" |
    sql >"$work/tables" || give_up "what is in $1" "$restore_rights"
  facts_of name "$work/facts" >"$work/names"
  without "$work/tables" "$work/names" >"$work/missing"
  counts=$(count "$1") || give_up "what is in $1" "$restore_rights"
  expected="$(facts_of views "$work/facts") $(facts_of routines "$work/facts")"
  differences=
  [ ! -s "$work/missing" ] || differences="the tables $(list "$work/missing") are not in the dump"
  [ "$counts" = "$expected" ] || differences="${differences:+$differences; }the dump has $counts views and routines, the database had $expected"
}

count() {
  echo "SELECT CONCAT((SELECT COUNT(*) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = x'$(hex "$1")'), ' ',
    (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = x'$(hex "$1")'));" | sql
}

# CMD of `feed`. No line of the dump is a command of the client: in binary mode it knows DELIMITER and \C, and its file access is off,
# LOAD DATA LOCAL INFILE as well. The line that switches its sandbox on is a comment then. Comments are kept: those in routines are part
# of them.
load_dump() {
  insert="INSERT INTO $journal (kind, name, mode, zone, collation, body) VALUES (@backup_kind, @backup_name, @@sql_mode, @@time_zone, @@collation_connection, @backup_sql)"
  "$client" --defaults-file="$work/connection" --default-character-set=utf8mb4 --batch --comments --binary-mode --local-infile=0 \
    --skip-reconnect --init-command="SET @backup_keep = '$insert', lock_wait_timeout = 60" $client_options --database="$INTO" \
    >/dev/null 2>"$work/error"
  status=$?
  [ $status -eq 0 ] || say "$(sql_failure)"
  exit $status
}

load_new() {
  begin "$target"
  load "$target"
  [ -z "$differences" ] || left_out "$target: $differences"
  run_late_code "$target" "$target" trigger
  run_late_code "$target" "$target" event
  [ "$target" = "$DATABASE" ] || report_own_name "$target" "$DATABASE"
  mark_done | sql || give_up "to finish $target" "$restore_rights"
  finish_left_overs
}

# SQL: the comment of the database says which Restore made it, after what a person has written there.
mark_done() {
  has_comments || return 0
  cat <<SQL
SET @c = (SELECT LEFT(REGEXP_REPLACE(SCHEMA_COMMENT, ' ?\\\\(restored by Restore [^)]*\\\\)\$', ''), 900) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = $schema);
EXECUTE IMMEDIATE CONCAT('ALTER DATABASE ', $(ident_of "CONVERT($schema USING utf8mb4)"), ' COMMENT = ', QUOTE(TRIM(CONCAT(@c, ' $done_mark'))));
SQL
}

# run_late_code DATABASE JOURNAL_IN KIND: creates what was put aside. What cannot be is told, not hidden, and does not stop the rest.
run_late_code() {
  into=$(ident "$1") from=$(ident "$2").$journal code=${3#*-}
  echo "SELECT CONCAT(n, ' ', name) FROM $from WHERE kind = '$3' ORDER BY n;" | sql >"$work/late" || give_up "the journal in $2" "$restore_rights"
  while IFS= read -r line <&4; do
    sql <<SQL && continue
USE $into;
DROP $code IF EXISTS $(ident "${line#* }");
SELECT body, mode, zone, collation INTO @body, @mode, @zone, @collation FROM $from WHERE n = ${line%% *};
SET sql_mode = @mode, time_zone = @zone, collation_connection = @collation;
EXECUTE IMMEDIATE @body;
SQL
    [ -n "$(sql_error_number)" ] && ! has_passing_error || give_up "the $code ${line#* } of $1" "$restore_rights"
    left_out "$1: the $code ${line#* } was not made: $(sql_failure)"
  done 4<"$work/late"
}

# report_own_name DATABASE FORMER_NAME: what a view or a default value says of its own database is the former name, and stays so.
report_own_name() {
  named="CONCAT($(ident_of "CONVERT(x'$(hex "$2")' USING utf8mb4)"), '.')"
  sql >"$work/own" <<SQL || give_up "what is in $1" "$restore_rights"
SELECT CONCAT('the view ', TABLE_NAME) FROM information_schema.VIEWS
WHERE TABLE_SCHEMA = x'$(hex "$1")' AND INSTR(VIEW_DEFINITION, $named)
UNION ALL SELECT CONCAT('the default of ', TABLE_NAME, '.', COLUMN_NAME) FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = x'$(hex "$1")' AND INSTR(COLUMN_DEFAULT, $named);
SQL
  while IFS= read -r line; do left_out "$1: $line still names the database $2"; done <"$work/own"
}

# ---- Swap

load_beside() {
  begin "$beside"
  load "$beside"
  if [ -n "$differences" ]; then
    undo "$beside"
    refuse RestoredDiffers "$differences; nothing was changed. Restore under another name to look at it"
  fi
  check_swappable "$beside" || { reason=$why; undo "$beside"; refuse SwapUnsupported "$reason; restore under another name"; }
  write_journal || { what=$(sql_failure); undo "$beside"; echo "$what" >"$work/error"; give_up "the journal of $target" "$restore_rights"; }
}

routines='PACKAGE
FUNCTION
PROCEDURE
PACKAGE BODY'

# The code of both sides, before anything of it is dropped. The row `ready` is last: with it the journal is whole.
write_journal() {
  place=$(ident "$beside").$journal
  journal_code "$beside" new && journal_code "$target" old || return
  journal_rights || return
  sql <<SQL || return
INSERT INTO $place (kind, name) SELECT 'table', TABLE_NAME FROM information_schema.TABLES
WHERE TABLE_SCHEMA = x'$(hex "$beside")' AND TABLE_TYPE <> 'VIEW' AND TABLE_NAME <> '$journal';
INSERT INTO $place (kind, body) VALUES ('expected', '$counts'), ('collation', '$collation'), ('ready', $schema);
SQL
}

# DROP PROCEDURE takes the rights on it away. mysql.procs_priv names databases in a character set of its own; SHOW GRANTS does not.
journal_rights() {
  [ "$(echo 'SELECT COUNT(*) FROM mysql.procs_priv;' | sql)" != 0 ] || return 0
  list_accounts >"$work/grantees" || return
  : >"$work/grants"
  while IFS= read -r line; do
    echo "SHOW GRANTS FOR ${line#?};" | sql >"$work/account" || [ "$(sql_error_number)" = 1141 ] || return
    DATABASE_AS_WRITTEN=$(ident "$target"). awk '
      match($0, /^GRANT [A-Za-z, ]+ ON (PROCEDURE|FUNCTION|PACKAGE|PACKAGE BODY) /) {
        if (substr($0, RLENGTH + 1, length(ENVIRON["DATABASE_AS_WRITTEN"])) == ENVIRON["DATABASE_AS_WRITTEN"]) print $0 ";"
      }' "$work/account" >>"$work/grants"
  done <"$work/grantees"
  journal_file grants "$work/grants"
}

# journal_code DATABASE new|old. Views by the client's dump, which knows how they build on each other.
journal_code() {
  split_views "$1" || return
  journal_file "$2-broken" "$work/broken" || return
  if [ -s "$work/views" ]; then
    run_dumper --no-data --skip-triggers -- "$1" $(cat "$work/views") >"$work/code" 2>"$work/error" && journal_file "$2-views" "$work/code" || return
  fi
  kinds=$routines
  [ "$2" = new ] || kinds="$routines
trigger"
  write_late_code "$1" $kinds >"$work/statements" || return
  {
    echo "USE $(ident "$beside");
    SET @backup_keep = 'INSERT INTO $journal (kind, name, mode, zone, collation, body)
      VALUES (CONCAT(''$2-'', @backup_kind), @backup_name, @@sql_mode, @@time_zone, @@collation_connection, @backup_sql)';"
    cat "$work/statements"
  } | sql
}

journal_file() {
  {
    xxd -p "$2" | tr -d '\n' | fold -w 10000 && echo
  } | sed -e '/^$/d' -e "s/.*/INSERT INTO $(ident "$beside" | sed 's/[\\/&]/\\&/g').$journal (kind, body) VALUES ('$1', x'&');/" | sql
}

# journalled KIND: the text that journal_file has put into the journal, which is in BEFORE by now.
journalled() {
  echo "SELECT HEX(body) FROM $(ident "$before").$journal WHERE kind = '$1' ORDER BY n;" | sql | tr -d '\n' | xxd -r -p
}

# RENAME TABLE refuses a table with triggers, and views. Triggers first: whoever holds a table up shows there, before anything is gone.
# The former events wait in BEFORE, disabled: they must see neither state.
take_code_away() {
  sql >"$work/statements" <<SQL || give_up "the code of $target" "$restore_rights"
SELECT CONCAT('CREATE DATABASE IF NOT EXISTS ', $(ident_of "CONVERT(x'$(hex "$before")' USING utf8mb4)"), ' CHARACTER SET ', DEFAULT_CHARACTER_SET_NAME, ' COLLATE ', DEFAULT_COLLATION_NAME, ';')
FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = $schema;
SELECT CONCAT('DROP TRIGGER IF EXISTS ', $(ident_of TRIGGER_SCHEMA), '.', $(ident_of TRIGGER_NAME), ';')
FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA IN ($schema, x'$(hex "$beside")');
SELECT CONCAT('ALTER DEFINER=', $(account_of DEFINER), ' EVENT ', $(ident_of EVENT_SCHEMA), '.', $(ident_of EVENT_NAME),
  ' RENAME TO ', $(ident_of "CONVERT(x'$(hex "$before")' USING utf8mb4)"), '.', $(ident_of EVENT_NAME), ' DISABLE;')
FROM information_schema.EVENTS WHERE EVENT_SCHEMA = $schema;
SELECT CONCAT('DROP VIEW IF EXISTS ', $(ident_of TABLE_SCHEMA), '.', $(ident_of TABLE_NAME), ';')
FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ($schema, x'$(hex "$beside")') AND TABLE_TYPE = 'VIEW';
SQL
  sql <"$work/statements" || give_up "to take the code of $target away" "$restore_rights"
}

# One statement: the server undoes all of it, or none, also when it crashes within. The journal goes with it.
rename_tables() {
  sql >"$work/pairs" <<SQL || give_up "the tables of $target" "$restore_rights"
SET @t = CONVERT($schema USING utf8mb4), @b = CONVERT(x'$(hex "$beside")' USING utf8mb4), @o = CONVERT(x'$(hex "$before")' USING utf8mb4);
SELECT CONCAT($(ident_of @t), '.', $(ident_of TABLE_NAME), ' TO ', $(ident_of @o), '.', $(ident_of TABLE_NAME))
FROM information_schema.TABLES WHERE TABLE_SCHEMA = $schema AND TABLE_TYPE <> 'VIEW';
SELECT CONCAT($(ident_of @b), '.', $(ident_of TABLE_NAME), ' TO ', IF(TABLE_NAME = '$journal', $(ident_of @o), $(ident_of @t)), '.', $(ident_of TABLE_NAME))
FROM information_schema.TABLES WHERE TABLE_SCHEMA = x'$(hex "$beside")' AND TABLE_TYPE <> 'VIEW';
SQL
  { echo 'RENAME TABLE'; sed '$!s/$/,/' "$work/pairs"; echo ';'; } | sql || give_up "to swap the tables of $target" "$restore_rights"
}

# After the RENAME. Each step can be done again: all of them are, after a crash in any.
make_code() {
  place=$(ident "$target") from=$(ident "$before").$journal
  collation=$(echo "SELECT body FROM $from WHERE kind = 'collation' LIMIT 1;" | sql) || give_up "the journal of $target" "$restore_rights"
  {
    echo "ALTER DATABASE $place COLLATE $collation;"
    echo "SELECT CONCAT('DROP ', ROUTINE_TYPE, ' IF EXISTS ', $(ident_of ROUTINE_SCHEMA), '.', $(ident_of ROUTINE_NAME), ';') FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = $schema;"
  } | sql >"$work/statements" && sql <"$work/statements" || give_up "the former routines of $target" "$restore_rights"
  for kind in $routines; do run_late_code "$target" "$before" "new-$kind"; done
  journalled new-views >"$work/code" && sql --database="$target" <"$work/code" || give_up "the views of $target" "$restore_rights"
  run_late_code "$target" "$before" trigger
  give_rights_again
  if [ "${BACKUP_PREVIOUS:-Keep}" = Keep ]; then
    for kind in $routines trigger; do run_late_code "$before" "$before" "old-$kind"; done
    journalled old-views >"$work/code" || give_up "the journal of $target" "$restore_rights"
    sql --force --database="$before" <"$work/code" || true
    ! has_passing_error || give_up "the views of $before" "$restore_rights"
    ! grep -a '^ERROR' "$work/error" >"$work/errors" || left_out "$before: not all of its views could be made: $(list "$work/errors" 3)"
    journalled old-broken >"$work/broken" || give_up "the journal of $target" "$restore_rights"
    while IFS= read -r line; do left_out "$before: the view $line was not kept: it refers to what was not there"; done <"$work/broken"
    echo "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = x'$(hex "$before")' ORDER BY EVENT_NAME;" | sql >"$work/events" || give_up "the events of $before" "$restore_rights"
    report_own_name "$before" "$target"
    [ ! -s "$work/events" ] || left_out "$before: its events are disabled: $(list "$work/events")"
  fi
  expected=$(echo "SELECT body FROM $from WHERE kind = 'expected' LIMIT 1;" | sql) && counts=$(count "$target") &&
    missing=$(echo "SELECT COUNT(*) FROM $from WHERE kind = 'table' AND name NOT IN (SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = $schema);" | sql) ||
    give_up "what is in $target" "$restore_rights"
  [ "$counts,$missing" = "$expected,0" ] || { say "$target has $counts views and routines, $expected are expected, and $missing tables are missing"; exit 1; }
  run_late_code "$target" "$before" event
  [ "$target" = "$DATABASE" ] || report_own_name "$target" "$DATABASE"
  {
    echo "DROP DATABASE IF EXISTS $(ident "$beside");"
    mark_done
  } | sql || give_up "to finish $target" "$restore_rights"
  before_state=ready
  finish_left_overs
}

# The last of all: TARGET is whole and says so. The former content goes only now.
finish_left_overs() {
  echo "DROP TABLE IF EXISTS $(ident "$target").$journal;" | sql || give_up "to finish $target" "$restore_rights"
  if [ "$before_state" = ready ]; then
    if [ "${BACKUP_PREVIOUS:-Keep}" = Keep ]; then echo "DROP TABLE $(ident "$before").$journal;"; else echo "DROP DATABASE $(ident "$before");"; fi |
      sql || give_up "to finish $target" "$restore_rights"
  fi
  case $(database_state "$before") in absent|empty) ;; *) kept=$(json_text "$before") ;; esac
}

# Rights on routines that are there again (1305: it is not in the backup).
give_rights_again() {
  journalled grants >"$work/grants" || give_up "the journal of $target" "$restore_rights"
  [ -s "$work/grants" ] || return 0
  sql --force <"$work/grants" || true
  ! has_passing_error || give_up "rights on routines of $target" "$restore_rights"
  ! grep -a '^ERROR' "$work/error" | grep -v '^ERROR 1305' >"$work/errors" ||
    left_out "$target: not all rights on routines could be given again: $(list "$work/errors" 3)"
}

# ---- Accounts

# Twice: before the databases, for the definers of what is in them; after them, for the rights on what is in them.
with_accounts() {
  [ "${BACKUP_USERS-}" = true ] || return 0
  [ -e "$work/accounts" ] || "$shared/feed" mysql.sql "$busybox" sh "$0" load-accounts || return
  sql --force <"$work/accounts" >"$work/answer"
  grep -a '^ERROR' "$work/error" >"$work/errors"
  if has_passing_error; then say "accounts: $(list "$work/errors" 3)"; return 1; fi
  [ -n "${1-}" ] || return 0
  # The client counts from the line that `sql` puts before them.
  while IFS= read -r line; do
    number=$(echo "$line" | sed -n 's/^ERROR .* at line \([0-9]*\): .*/\1/p')
    line=${line%% near \'*}
    left_out "accounts: $(sed -n "$((number - 1))p" "$work/accounts" | sed "s/ IDENTIFIED .*//") $line"
  done <"$work/errors"
}

# CMD of `feed`.
load_accounts() { cat >"$work/accounts"; }

# Code whose definer does not exist is there, and fails when it is used.
report_definers() {
  while IFS= read -r DATABASE; do
    name_databases
    sql >"$work/definers" <<SQL || give_up "the definers in $target" "$restore_rights"
SELECT DISTINCT CONCAT(what, ' ', name, ': its definer ', DEFINER, ' does not exist') FROM (
  SELECT 'the view' AS what, TABLE_NAME AS name, DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = $schema AND SECURITY_TYPE = 'DEFINER'
  UNION ALL SELECT 'the routine', ROUTINE_NAME, DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = $schema AND SECURITY_TYPE = 'DEFINER'
  UNION ALL SELECT 'the trigger', TRIGGER_NAME, DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = $schema
  UNION ALL SELECT 'the event', EVENT_NAME, DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = $schema) AS code
WHERE BINARY DEFINER NOT IN (SELECT BINARY CONCAT(User, '@', Host) FROM mysql.user);
SQL
    while IFS= read -r line; do left_out "$target: $line"; done <"$work/definers"
  done <"$work/databases"
}

# ---- Verify

# Without a server: each dump is read to its end, has its last line, and the tables that its facts name.
verify() {
  began=$(date +%s)
  "$shared/feed" .artifacts "$busybox" cat >"$work/artifacts" || exit
  grep '\.sql$' "$work/artifacts" >"$work/dumps" || refuse NotInBackup 'the backup has no database'
  : >"$work/results"
  while IFS= read -r name <&3; do
    "$shared/feed" "$name" "$busybox" sh "$0" check-dump || exit
    has_trailer "$work/last" || refuse DumpIncomplete "the dump $name ends without its last line; it was cut before it was stored, so use another backup"
    [ "$name" != mysql.sql ] || continue
    "$shared/feed" ".facts/$name" "$busybox" cat >"$work/facts" || exit
    facts_of name "$work/facts" >"$work/names"
    without "$work/tables" "$work/names" >"$work/missing"
    [ ! -s "$work/missing" ] ||
      refuse TablesMissing "tables that the database had are not in the dump $name: $(list "$work/missing"); use another backup"
    printf '%s{"database":%s,"tables":%s}' "$(test ! -s "$work/results" || echo ,)" "$(json_text "${name%.sql}")" \
      "$(wc -l <"$work/tables")" >>"$work/results"
  done 3<"$work/dumps"
  printf '{"databases":[%s],"leftOut":[],"seconds":%s}\n' "$(cat "$work/results")" $(($(date +%s) - began)) >"$work/result"
  "$shared/artifact" .result "$busybox" cat "$work/result" || exit
}

# CMD of `feed`. A line break in a value is written as \n: no row begins like these lines.
check_dump() {
  rm -f "$work/lines"
  mkfifo "$work/lines" || exit
  grep -a -E '^CREATE (TABLE|SEQUENCE) `' <"$work/lines" |
    sed -n -e 's/^CREATE TABLE `\(.*\)` ($/\1/p' -e 's/^CREATE SEQUENCE `\(.*\)` start with .*/\1/p' | sed 's/``/`/g' >"$work/tables" &
  tables=$!
  copy "$work/lines" | tail -c 128 >"$work/last" || exit
  wait $tables || true
}

case ${1-} in
  dump|restore|verify)
    work=$(mktemp -d "${TMPDIR:-/tmp}/mariadb.XXXXXX") || exit 73
    export work
    trap 'rm -rf "$work"' EXIT
    trap 'exit 143' TERM INT
    "$1" ;;
  dump-database) dump_database ;;
  dump-accounts) dump_accounts ;;
  load-dump) load_dump ;;
  load-accounts) load_accounts ;;
  check-dump) check_dump ;;
  *) say 'dump, restore or verify?'; exit 64 ;;
esac
