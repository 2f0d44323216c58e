# PID 1 of the restore command's container: busybox sh SHARED/restore-init.sh START_TIMEOUT_SECONDS CMD ARG...
#
#   ctl   this container -> mover, one line an event; its EOF tells the mover that this container is dead
#   life  mover -> this container; nothing is said, and its EOF tells that the mover is dead, however it died
#   gone  a file: the mover has ended; for a container that starts only afterwards
#
# Who restores may commit at the end of its input, so that no end may come before the mover said that all is right. Without the mover
# everything here is killed, in an order in which nobody sees an end of input any more: all are stopped first, those that hold the
# input open among them, and what is pending for a process comes before its next step.
shared=${0%/*}
start_timeout=$1
shift
child= started= why= code=

say() { echo "restore-init: $*" >&2; }

. "$shared/find-program"
. "$shared/oom-kills"

# Only in a PID namespace of our own: -1 is everybody.
kill_all() {
  [ $$ -eq 1 ] || return 0
  kill -STOP -1 2>/dev/null
  kill -KILL -1 2>/dev/null
}

leave() {
  kill_all
  exit "$1"
}

without_mover() {
  say "$1"
  leave 75
}

# Told to stop: the command gets TERM, and KILL when it ignores that.
stop() {
  [ -n "$why" ] || { why=$1 code=$2; say "$1"; }
  [ -n "$started" ] || leave "$code"
  [ -n "$child" ] || return 0
  kill -TERM "$child" 2>/dev/null
  ( sleep 10; kill -KILL "$child" 2>/dev/null ) &
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
( while read -r word; do :; done; kill -USR1 $me ) <&7 & listener=$!
exec 8>"$shared/ctl"
echo "hello $(id -u)" >&8

find_program "$1"
case $program in */*) ;; *) say "$1: command not found in PATH"; echo 'exit 127' >&8; leave 127 ;; esac
shift

oom_kills_before=$(oom_kills)
started=yes
"$program" "$@" 7<&- 8>&- & child=$!
# `wait` returns early when a trap has run.
while :; do wait $child; status=$?; kill -0 $child 2>/dev/null || break; done
child=
kill $listener 2>/dev/null
[ $status -eq 0 ] && [ "$(oom_kills)" != "$oom_kills_before" ] && status=137
[ -n "$code" ] && status=$code
echo "exit $status" >&8 2>/dev/null   # nobody listens when the mover is gone
leave $status
