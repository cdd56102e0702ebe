#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# db_sqlite.sh [BUILD [ext4|xfs|btrfs]...]: bench_db_sqlite on file systems of our own below
# /var/tmp, 6 GB each, one after the other.  As root.
set -eu
BUILD=$(readlink -f "${1:-build}")
shift $(($# < 1 ? $# : 1))
[ $# -gt 0 ] || set -- ext4 xfs btrfs
. "$(dirname "$(readlink -f "$0")")/disk.sh"
WORK=$(mktemp -d /var/tmp/sitesnap-bench.XXXXXX)
trap 'umount "$WORK/disk" 2>/dev/null || true; rm -rf "$WORK"' EXIT
trap 'exit 1' INT TERM HUP
chmod 755 "$WORK" # the tenant is not root
mkdir "$WORK/disk"
for fs in "$@"; do
        truncate -s 6G "$WORK/image"
        "mkfs.$fs" -q "$WORK/image"
        disk_mount "$WORK/image" "$WORK/disk"
        echo "# on $fs"
        TEST_TMP=$WORK/disk "$BUILD/tests/bench/bench_db_sqlite"
        umount "$WORK/disk"
        rm "$WORK/image"
done
