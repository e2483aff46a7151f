#!/usr/bin/env bash
# Makes a Debian 13 root with GIMP 3, for machines whose own GIMP is older or missing.
#   tests/hosts/gimp/root.sh [FOLDER]     by default $REVERIE_GIMP_ROOT or ~/.cache/reverie-tests/gimp-root
# Needs root and debootstrap; about a minute and 1.3 GB. Does nothing if a GIMP 3 is there already.
# Ends with 3 where it cannot be made.
set -euo pipefail

root=${1:-${REVERIE_GIMP_ROOT:-$HOME/.cache/reverie-tests/gimp-root}}

if gimp-console-3.0 --version >/dev/null 2>&1 || [ -x "$root/usr/bin/gimp-console-3.0" ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null || ! unshare --mount true; then
    echo "A root with GIMP 3 needs to be made by root, with debootstrap, where mounting is allowed." >&2
    exit 3
fi

made="$root.new"
rm -rf "$made"
mkdir -p "$made"
mirror=${REVERIE_DEBIAN_MIRROR:-http://deb.debian.org/debian}
if ! debootstrap --variant=minbase trixie "$made" "$mirror" >"$made.log" 2>&1; then
    tail -3 "$made.log" >&2
    echo "Debian 13 could not be fetched from $mirror." >&2
    exit 3
fi
packages="gimp python3 python3-gi gir1.2-gimp-3.0 gir1.2-gtk-3.0 adwaita-icon-theme fonts-dejavu-core
    xvfb openbox xdotool imagemagick procps"
if ! unshare --mount bash -c '
    mount --bind /proc "$0/proc"
    chroot "$0" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive chroot "$0" apt-get install -y -qq --no-install-recommends "$@"
' "$made" $packages >>"$made.log" 2>&1; then
    tail -3 "$made.log" >&2
    echo "GIMP 3 could not be installed from $mirror." >&2
    exit 3
fi
rm -rf "$made/var/cache/apt/archives" "$made.log"
mv "$made" "$root"
