# PID 1 of the user's container: busybox sh SHARED/init.sh START_TIMEOUT_SECONDS CMD ARG...
# With `look` for the seconds it only says whether CMD is there, and needs no mover.
#
#   ctl   this container -> mover, one line an event; its EOF tells the mover that this container is dead
#   life  mover -> this container, one word a line; held open by the mover, so that its EOF tells that the mover is dead, however it died
#   gone  a file: the mover has ended; for a container that starts only afterwards
#   kept  a file: the mover found that an earlier attempt has made this backup; there is nothing left to do
#
# The end of this process ends all others of its container, and that ends the data: an end like any other for who reads them. So it
# stays until the mover has said `eof`: until every writer has closed by itself while all of them lived. It holds no end of the data.
shared=${0%/*}
start_timeout=$1
shift
child= started= why= code=

say() { echo "backup-init: $*" >&2; }

. "$shared/find-program"
. "$shared/oom-kills"

if [ "$start_timeout" = look ]; then
  find_program "$1"
  [ -n "$program" ] || { say "$1: command not found in PATH"; exit 127; }
  [ -e "$program" ] || { say "$1: not found"; exit 127; }
  [ -f "$program" ] && [ -x "$program" ] || { say "$1: cannot be executed"; exit 126; }
  exit 0
fi

# stop REASON STATUS: the command gets TERM, and KILL when it ignores that. PID 1 has no default handlers: without the traps
# below a SIGTERM would do nothing. The status stands, whatever the command makes of it.
stop() {
  [ -n "$why" ] || { why=$1 code=$2; say "$1"; }
  [ -n "$started" ] || exit "$code"
  [ -n "$child" ] || return 0
  kill -TERM "$child" 2>/dev/null
  ( sleep 10; kill -KILL "$child" 2>/dev/null ) &
}

without_mover() {
  if [ -e "$shared/kept" ]; then stop 'an earlier attempt has made this backup' 0; else stop "$1" 75; fi
}

# Reads what the mover says. Its own status tells of `eof`: no signal that somebody sends to PID 1 can be taken for it.
all_data_seen=42
listen() {
  while read -r word; do
    case $word in
      eof) exit $all_data_seen ;;
      # Opened for reading as well: without the mover it must not block.
      writers) echo "writers$("$shared/busybox" sh "$shared/writers" "$shared"/a.*)" 1<>"$shared/ctl" ;;
    esac
  done
  kill -USR1 $me
}

trap 'stop "told to stop (SIGTERM)" 143' TERM INT
trap 'without_mover "the mover is gone"' USR1
trap 'without_mover "waited long enough"' USR2
me=$$

[ -e "$shared/gone" ] && without_mover 'the mover has already ended'
( sleep "$start_timeout"; say "the mover did not start in $start_timeout s"; kill -USR2 $me ) & guard=$!
# Blocks until the mover has opened the other end. A signal ends the shell here (ash cannot go on after a failed exec): hence the
# reason is said before it is sent.
exec 7<"$shared/life"
kill $guard 2>/dev/null
listen <&7 & listener=$!
exec 8>"$shared/ctl"
echo "hello $(id -u)" >&8

find_program "$1"
case $program in */*) ;; *) say "$1: command not found in PATH"; echo 'exit 127' >&8; exit 127 ;; esac
shift

oom_kills_before=$(oom_kills)
started=yes
"$program" "$@" 7<&- 8>&- & child=$!
# `wait` returns early when a trap has run.
while :; do wait $child; status=$?; kill -0 $child 2>/dev/null || break; done
child=
# Nothing will be announced any more: the mover says `eof` when all that was announced has come to its end.
[ $status -eq 0 ] && [ -z "$why" ] && echo ended >&8 2>/dev/null
while [ $status -eq 0 ] && [ -z "$why" ]; do
  wait $listener
  [ $? -eq $all_data_seen ] && break
  kill -0 $listener 2>/dev/null || without_mover 'the mover is gone'
done
kill $listener 2>/dev/null
[ $status -eq 0 ] && [ "$(oom_kills)" != "$oom_kills_before" ] && status=137
[ -n "$code" ] && status=$code
echo "exit $status" >&8 2>/dev/null   # nobody listens when the mover is gone
exit $status
