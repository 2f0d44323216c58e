# PID 1 of the user's container: busybox sh SHARED/init.sh START_TIMEOUT_SECONDS CMD ARG...
#
#   ctl   this container -> mover, one line an event; its EOF tells the mover that this container is dead
#   life  held open by the mover; its EOF tells this container that the mover is dead, however it died
#   gone  a file: the mover has ended; for a container that starts only afterwards
#   kept  a file: the mover found that an earlier attempt has made this backup; there is nothing left to do
shared=${0%/*}
start_timeout=$1
shift
child= why= code=

say() { echo "backup-init: $*" >&2; }

# stop REASON STATUS: the command gets TERM, and KILL when it ignores that. PID 1 has no default handlers: without the traps
# below a SIGTERM would do nothing.
stop() {
  [ -n "$why" ] || { why=$1 code=$2; say "$1"; }
  [ -n "$child" ] || exit "$code"
  kill -TERM "$child" 2>/dev/null
  ( sleep 10; kill -KILL "$child" 2>/dev/null ) &
}

without_mover() {
  if [ -e "$shared/kept" ]; then stop 'an earlier attempt has made this backup' 0; else stop "$1" 75; fi
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
( read -r _ <&7; kill -USR1 $me ) & watcher=$!
exec 8>"$shared/ctl"
echo "hello $(id -u)" >&8

# The path is searched here: busybox would prefer its own applets (tar, gzip, ...) to the programs of the image.
case $1 in
  */*) program=$1 ;;
  *) program=; separator=$IFS; IFS=:; set -f
     for directory in $PATH; do
       [ -f "${directory:-.}/$1" ] && [ -x "${directory:-.}/$1" ] && { program=${directory:-.}/$1; break; }
     done
     IFS=$separator; set +f ;;
esac
case $program in */*) ;; *) say "$1: command not found in PATH"; echo 'exit 127' >&8; exit 127 ;; esac
shift

"$program" "$@" 7<&- 8>&- & child=$!
# `wait` returns early when a trap has run.
while :; do wait $child; status=$?; kill -0 $child 2>/dev/null || break; done
kill $watcher 2>/dev/null
[ -n "$code" ] && [ $status -ne 0 ] && status=$code
echo "exit $status" >&8 2>/dev/null   # nobody listens when the mover is gone
exit $status
