#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# ./demo.sh [--driver overlayfs|btrfs]
#
# A wiki on a fresh machine (Debian 12, root): adopted with its database while nginx and PHP serve
# it, brought through two real releases by its own migrator, a broken release undone, an old version
# read beside the live one, versions switched under load, pruned, and all of it removed again.
# overlayfs needs no spare disk; btrfs works on a disk in a file.  Everything happens in namespaces
# of its own, on the loopback, with a daemon of its own.  The last line is "N requests, 0 failed".

set -u
driver=overlayfs
case $#:${1:-} in
0:) ;;
2:--driver) driver=$2 ;;
*) sed -n '4,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
case $driver in
overlayfs | btrfs) ;;
*) echo "no driver '$driver' (there are: overlayfs btrfs)" >&2; exit 2 ;;
esac

top=$(dirname "$(readlink -f "$0")")
cd "$top" || exit 1
[ "$(id -u)" -eq 0 ] || { echo 'the demo mounts file systems: run it as root' >&2; exit 1; }
for part in install fetch web wiki world; do
        . "tests/lib/$part.sh"
done
BUILD=$top/build-demo OWNER=www-data

# Once on the machine itself: packages, the program, the wiki's three releases.
if [ -z "${WORLD_APART:-}" ]; then
        packages_install || exit 1
        echo 'building snapd and snapctl'
        [ -e "$BUILD/build.ninja" ] || meson setup "$BUILD" >"$top/build-demo.log" 2>&1 &&
                ninja -C "$BUILD" daemon snapctl/snapctl tests/e2e/load \
                        >"$top/build-demo.log" 2>&1 ||
                { tail -n 20 "$top/build-demo.log"; exit 1; }
        rm -f "$top/build-demo.log"
        for release in 1.35 1.39 1.43; do
                [ -d "$CACHE/mediawiki-$release" ] || echo "fetching MediaWiki $release"
                mediawiki_fetch $release >/dev/null || exit 1
        done
fi
world_apart "$@"

leave() {
        local status=$?

        trap - EXIT
        [ -z "${loader:-}" ] || kill "$loader" 2>/dev/null
        if [ "$status" -ne 0 ] && [ -n "$WORLD" ]; then
                echo "the demo failed (${doing:-}); what was said last:"
                tail -n 15 "$WORLD/log/demo.log" "$WORLD/log/snapd.log"
        fi
        world_end || status=1
        [ "$status" -ne 0 ] || echo "$result"
        exit "$status"
}
trap leave EXIT
trap 'exit 130' INT TERM HUP

say() {
        doing=$*
        printf '\n== %s\n' "$*"
}

# run COMMAND...: show a command of the admin's and run it; what it prints matters to the reader.
run() {
        printf '   $ snapctl %s\n' "$*" | sed "s#$WORLD#...#g"
        ctl "$@" >"$WORLD/log/output" 2>&1
        local status=$?
        cat "$WORLD/log/output" >>"$WORLD/log/demo.log"
        return "$status"
}

show() {
        sed 's/^/   /' "$WORLD/log/output"
}

# expect RELEASE [PORT]: This release serves its pages and its content.
expect() {
        wiki_verify "${2:-$port}" "$1" "$picture" 2>>"$WORLD/log/demo.log" ||
                { echo "   not served: MediaWiki $1"; exit 1; }
        echo "   served: MediaWiki $1, its pages and its upload"
}

upgrade() {
        run upgrade wiki --label "$1" -- "$WORLD/bin/upgrade-wiki" "$CACHE/mediawiki-$1" || exit 1
        expect "$1"
}

world_begin "$driver" && port=$(port_free) && web_begin "$WORLD/web" "$OWNER" || exit 1
sites=$WORLD/disk

say "a wiki with SQLite, nginx and PHP on 127.0.0.1:$port"
wiki_install 1.35 "$sites/www" "$sites/data" "$port" "$OWNER" || exit 1
picture=$(wiki_picture "$sites/www")
web_site wiki "$port" "$sites/www" && web_start && daemon_start || exit 1
expect 1.35

say "the live directory is taken over ($driver)"
run site add wiki --home "$sites/wiki" --owner "$OWNER" --driver "$driver" \
        --pool "$sites/pool" --adopt "$sites/www" --shared images --database "sqlite:$sites/data" \
        --set 'LocalSettings.php php-assign wgSQLiteDataDir {database_dir}' || exit 1
expect 1.35

say 'two real releases, in place, by the application'\''s own migrator'
upgrade 1.39
upgrade 1.43

say 'a release that lacks a class of its core'
run upgrade wiki --label 1.43-broken -- "$WORLD/bin/upgrade-wiki" "$CACHE/mediawiki-1.43" broken
status=$?
echo "   exit status $status (6: undone)"
[ "$status" -eq 6 ] || exit 1
expect 1.43

say 'what is kept'
run list wiki || exit 1
show

say 'a kept version, read beside the live one'
run mount wiki 2 || exit 1
web_site old "$((port + 1))" "$sites/wiki/versions/2" && web_start || exit 1
expect 1.39 "$((port + 1))"
expect 1.43

say 'under load from 4 connections: 1.39 and 1.43 take turns'
live=$(ctl show wiki -p) || exit 1
for page in 1 2 3 4; do
        echo "200 http://127.0.0.1:$port/index.php/Kept_page_$page Kept text $page"
done >"$WORLD/urls"
"$BUILD/tests/e2e/load" -c 4 -s 'content="MediaWiki ' -l "$sites/wiki/current" -f stamp.txt \
        "$WORLD/urls" >"$WORLD/load" 2>>"$WORLD/log/demo.log" &
loader=$!
sleep 1
switches=0
while [ $switches -lt 20 ]; do
        ctl activate wiki 2 >>"$WORLD/log/demo.log" 2>&1 || exit 1
        sleep 0.4
        ctl activate wiki "$live" >>"$WORLD/log/demo.log" 2>&1 || exit 1
        sleep 0.4
        switches=$((switches + 2))
done
kill -TERM "$loader"
wait "$loader"
right=$?
loader=''
echo "   $switches switches; $(cat "$WORLD/load")"
[ "$right" -eq 0 ] || exit 1
expect 1.43

say 'old versions go, the site stays'
run umount wiki 2 && run prune wiki --keep 2 -y || exit 1
run list wiki && show && expect 1.43

result=$(sed 's/ failed.*/ failed/' "$WORLD/load")
echo
