#!/usr/bin/env bash
# First process of a sandbox (see sandbox.ts, which starts it in new mount and PID namespaces): puts a disposable overlay
# of a root file system in place of the machine's own, runs one command there, and reaps what the command leaves.
# When this process ends, the kernel ends everything inside and takes every mount back: nothing has to be cleaned up.
# usage: sandbox.sh ROOT MOUNT_POINT [SOURCE:TARGET]... -- COMMAND [ARGUMENT]...
set -euo pipefail
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Paths must not hold a colon; sandbox.ts refuses them. A function, because the script's own file is gone after pivot_root.
enter() {
  local root=$1 point=$2 source target
  shift 2
  mount --make-rprivate /
  mount -t tmpfs -o mode=0755 sandbox "$point"
  mkdir "$point/upper" "$point/work" "$point/root"
  mount -t overlay -o "lowerdir=$root,upperdir=$point/upper,workdir=$point/work" sandbox "$point/root"
  cd "$point/root"
  mount -t proc proc proc
  mount --rbind /sys sys
  mount --rbind /dev dev
  mount -t tmpfs -o mode=0755 run run
  mount -t tmpfs -o mode=1777 tmp tmp
  while [ "$1" != -- ]; do
    source=${1%%:*} target=.${1#*:}
    if [ -d "$source" ]; then mkdir -p "$target"; else mkdir -p "$(dirname "$target")" && touch "$target"; fi
    mount --rbind "$source" "$target"
    shift
  done
  shift
  mkdir .old
  pivot_root . .old
  cd /
  umount --lazy /.old
  rmdir /.old
  mount --make-rshared / # pods may ask for mount propagation
  "$@" &
  local child=$! status=0
  trap 'kill -TERM "$child" 2>/dev/null' TERM INT
  wait "$child" || status=$?
  while kill -0 "$child" 2>/dev/null; do status=0; wait "$child" || status=$?; done # a trapped signal ends `wait` early
  exit "$status"
}
enter "$@"
