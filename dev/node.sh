#!/usr/bin/env bash
# Prints the folder that holds the pinned Node's `node`, installing it and npm into the user's cache first when missing.
# This is the only part of the set-up that is not TypeScript: it makes TypeScript run.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case $(uname -m) in
  x86_64) arch=x64 ;;
  aarch64) arch=arm64 ;;
  *) echo "dev/node.sh: no Node for $(uname -m): the project supports x86_64 and aarch64" >&2; exit 1 ;;
esac
version=$(sed -n "s/.*\"node-linux-$arch\": \"\([^\"]*\)\".*/\1/p" "$here/toolchain/package.json")
home=${XDG_CACHE_HOME:-$HOME/.cache}/backup-operator/node-$version
bin=$home/node_modules/node-linux-$arch/bin
works() { "$bin/node" --version >/dev/null 2>&1; }
# A bare Debian does not have the one library that this Node needs besides the C library's.
lacks_library() { [ -e "$bin/node" ] && ldd "$bin/node" | grep -q 'libatomic\.so\.1 => not found'; }
apt() { DEBIAN_FRONTEND=noninteractive apt-get "$@" >&2; }

if ! { works || lacks_library; } || ! [ -d "$home/node_modules/npm" ]; then
  command -v npm >/dev/null || { echo 'dev/node.sh: npm is missing; install it with: apt-get install npm' >&2; exit 1; }
  echo "installing Node $version into $home" >&2
  partial=$home.partial.$$ # renamed when complete, so that a killed or a second run leaves nothing half done
  mkdir -p "$partial"
  cp "$here/toolchain/package.json" "$here/toolchain/package-lock.json" "$here/toolchain/.npmrc" "$partial/"
  npm ci --prefix "$partial" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  rm -rf "$home"
  mv -T "$partial" "$home"
fi
if lacks_library; then
  echo 'installing the Debian package libatomic1' >&2
  apt install -y --no-install-recommends libatomic1 || { apt update && apt install -y --no-install-recommends libatomic1; } || true
  ! lacks_library || { echo "dev/node.sh: Node $version needs libatomic.so.1; install it with: apt-get install libatomic1" >&2; exit 1; }
fi
"$bin/node" --version >/dev/null
echo "$bin"
