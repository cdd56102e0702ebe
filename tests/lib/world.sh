# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# A small server of our own: a directory, where needed a disk in a file, a daemon with its state.
#
#   world_apart "$@"     go on in mount and pid namespaces of our own: whatever happens to the
#                        script, no mount and no process of it stays behind
#   world_begin DRIVER [SIZE]   $WORLD (below $TMPDIR), $WORLD/disk for the sites on a file system
#                        that suits the driver (with SIZE one of its own in any case), $WORLD/bin
#                        with the upgrade commands, where every user can run them
#   world_end            everything begun here is ended and removed, for a trap
#   daemon_start / daemon_stop / daemon_kill
#   ctl ARGUMENT...      snapctl on our daemon
#
# BUILD names the build directory.

WORLD='' DAEMON=''

world_apart() {
        [ -z "${WORLD_APART:-}" ] || return 0
        # Shared inside, as a server's mounts are, but not with the machine's.
        WORLD_APART=1 exec unshare --mount --pid --fork --kill-child --mount-proc \
                --propagation private -- \
                sh -c 'mount --make-rshared / && exec "$@"' sh "$(readlink -f "$0")" "$@"
}

# An upper layer needs a file system with extended attributes of its own and a way to tell the type
# of an entry; the root of a container is itself an overlay and has neither.
overlay_can_lie_on() {
        case $(stat -f -c %T "$1") in
        ext2/ext3 | xfs | btrfs) return 0 ;;
        *) return 1 ;;
        esac
}

world_begin() {
        local driver=$1

        WORLD=$(mktemp -d "${TMPDIR:-/var/tmp}/sitesnap-world.XXXXXX") || return 1
        chmod 755 "$WORLD"
        mkdir "$WORLD/disk" "$WORLD/conf" "$WORLD/run" "$WORLD/log" "$WORLD/bin"
        cp "$(dirname "${BASH_SOURCE[0]}")"/upgrade-* "$WORLD/bin/"
        mkdir -m 700 "$WORLD/state"
        case $driver in
        btrfs) world_disk btrfs "${2:-6G}" ;;
        *) [ -z "${2:-}" ] && overlay_can_lie_on "$WORLD" || world_disk ext4 "${2:-6G}" ;;
        esac
}

# Without the blocks that ext4 keeps for root: the site's user shall see the room that root sees.
world_mkfs() {
        case $1 in
        ext4) mkfs.ext4 -q -m 0 "$2" >/dev/null ;;
        *) "mkfs.$1" -q "$2" >/dev/null ;;
        esac
}

# world_disk TYPE SIZE: $WORLD/disk is a file system of this type, in a file.  The loop device
# goes with its mount.
world_disk() {
        truncate -s "$2" "$WORLD/disk.img" &&
                world_mkfs "$1" "$WORLD/disk.img" &&
                mount -o loop "$WORLD/disk.img" "$WORLD/disk" &&
                chmod 755 "$WORLD/disk"
}

ctl() {
        "$BUILD/snapctl/snapctl" --socket "$WORLD/run/snapd.sock" "$@"
}

daemon_start() {
        local i

        "$BUILD/snapd/snapd" --state "$WORLD/state" --run "$WORLD/run" --conf "$WORLD/conf" \
                --socket "$WORLD/run/snapd.sock" >>"$WORLD/log/snapd.log" 2>&1 </dev/null &
        DAEMON=$!
        for i in $(seq 150); do
                ctl status >/dev/null 2>&1 && return 0
                kill -0 "$DAEMON" 2>/dev/null || break
                sleep 0.1
        done
        echo 'snapd does not answer:' >&2
        tail -n 20 "$WORLD/log/snapd.log" >&2
        return 1
}

daemon_end() {
        [ -n "$DAEMON" ] || return 0
        kill "-$1" "$DAEMON" 2>/dev/null
        wait "$DAEMON" 2>/dev/null
        DAEMON=''
}

daemon_stop() {
        daemon_end TERM
}

daemon_kill() {
        daemon_end KILL
}

# world_unmount: No mount below $WORLD but the disk itself, innermost first.
world_unmount() {
        local where

        awk '{print $5}' /proc/self/mountinfo | grep -F "$WORLD/" |
                grep -vxF "$WORLD/disk" | sort -r | while read -r where; do
                umount "$where" 2>/dev/null || umount -l "$where"
        done
}

# The operation processes outlive the daemon on purpose; ours must not.
world_end() {
        local pid i

        [ -n "$WORLD" ] || return 0
        web_stop 2>/dev/null
        daemon_stop
        for i in TERM KILL; do
                for pid in $(world_processes); do
                        kill "-$i" "$pid" 2>/dev/null
                done
                [ -z "$(world_processes)" ] || sleep 0.5
        done
        world_unmount
        umount "$WORLD/disk" 2>/dev/null || umount -l "$WORLD/disk" 2>/dev/null
        if grep -qF " $WORLD/" /proc/self/mountinfo; then
                echo "still mounted, so not removed: $WORLD" >&2
                return 1
        fi
        chattr -R -f -i "$WORLD" 2>/dev/null
        rm -rf --one-file-system "$WORLD"
        WORLD=''
}

# The processes of our daemon's program; in a pid namespace of our own there are no others.
world_processes() {
        local exe

        for exe in /proc/[0-9]*/exe; do
                [ "$(readlink "$exe")" = "$(readlink -f "$BUILD/snapd/snapd")" ] || continue
                exe=${exe#/proc/}
                echo "${exe%/exe}"
        done
}
