# Init container, of our own image: busybox sh prepare.sh SHARED
# Fills the directory that the containers of a backup or restore pod share. Modes are explicit: no umask can break them. The directory
# itself is an emptyDir (0777, not sticky: fs.protected_fifos refuses FIFOs of others in sticky ones) and stays as it is.
set -eu
shared=$1
helpers=${0%/*}

programs='init.sh artifact writers restore-init.sh feed find-program oom-kills'

# An init container can run again in the same pod.
for name in busybox $programs ctl life; do rm -f "$shared/$name"; done

# The busybox that runs this script copies itself: it is static, so that it runs in any image.
cp "/proc/$$/exe" "$shared/busybox"
chmod 0555 "$shared/busybox"
for helper in $programs; do
  # An executable script names its interpreter by an absolute path.
  { echo "#!$shared/busybox sh"; cat "$helpers/$helper"; } >"$shared/$helper"
  chmod 0555 "$shared/$helper"
done
# What dumps and restores an engine, run by the same busybox in the image of the database.
for preset in "$helpers"/../../presets/*.sh; do
  [ -f "$preset" ] || continue
  copy=$shared/preset-${preset##*/}
  rm -f "$copy"
  cp "$preset" "$copy"
  chmod 0555 "$copy"
done
mkfifo -m 0666 "$shared/ctl" "$shared/life"   # -m is not masked
