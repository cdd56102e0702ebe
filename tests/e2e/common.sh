# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What the end-to-end scripts share: begun as `script BUILD DRIVER`, they run in a world of their
# own with a daemon and a web server, with the small site or the wiki in it.

BUILD=$(readlink -f "$1") DRIVER=$2
lib=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../lib
. "$lib/tap.sh"
[ "$(id -u)" -eq 0 ] || tap_skip 'needs root'
[ -e /dev/loop-control ] || [ "$DRIVER" = overlayfs ] || tap_skip 'needs loop devices'
. "$lib/fetch.sh"
. "$lib/web.sh"
. "$lib/wiki.sh"
. "$lib/app.sh"
. "$lib/operations.sh"
. "$lib/world.sh"
world_apart "$@"

OWNER=www-data

# The world goes when the script ends, however it ends.
leave() {
        local status=$?

        trap - EXIT
        if [ "$status" -ne 0 ] && [ -n "$WORLD" ]; then
                tail -n 40 "$WORLD/log/snapd.log" 2>/dev/null | sed 's/^/# snapd: /'
                tail -n 10 "$WORLD/web/log/php.log" 2>/dev/null | sed 's/^/# php: /'
        fi
        world_end
        [ -z "$TAP_OUTPUT" ] || rm -f "$TAP_OUTPUT"
        exit "$status"
}
trap leave EXIT
trap 'exit 1' INT TERM HUP

# e2e_begin [SIZE]: World, daemon and web server run.  Sites of this script lie below $SITES, on a
# disk of this size if one is asked for.
e2e_begin() {
        world_begin "$DRIVER" "$@" || { echo "Bail out! no world"; exit 1; }
        SITES=$WORLD/disk
        PORT=$(port_free)
        web_begin "$WORLD/web" "$OWNER"
        daemon_start || { echo "Bail out! no daemon"; exit 1; }
}

# app_add NAME [ARGUMENT...]: The small site, version "one", served at $PORT, adopted by snapd.
app_add() {
        local name=$1

        shift
        app_install one "$SITES/www/$name" "$SITES/data-$name" "$OWNER" &&
                web_site "$name" "$PORT" "$SITES/www/$name" && web_start &&
                ctl site add "$name" --home "$SITES/$name" --owner "$OWNER" --driver "$DRIVER" \
                        --pool "$SITES/pool/$name" --adopt "$SITES/www/$name" --shared uploads \
                        --database "sqlite:$SITES/data-$name" \
                        --set 'config.php php-assign database_dir {database_dir}' "$@" \
                        -- "$WORLD/bin/upgrade-app"
}

# versions SITE: A line for each version: number, states joined by commas, label.
versions() {
        ctl list "$1" --format json | python3 -c '
import json, sys
answer = json.load(sys.stdin)
for v in answer["versions"] if isinstance(answer, dict) else answer:
    print(v["number"], ",".join(v["states"]), v["label"] or "-")'
}

# stays_in PID DIR: The process is there by now.
stays_in() {
        for _ in $(seq 100); do
                [ "$(readlink "/proc/$1/cwd")" != "$(readlink -f "$2")" ] || return 0
                sleep 0.1
        done
        echo "process $1 is in $(readlink "/proc/$1/cwd")"
        return 1
}

# has_state SITE NUMBER STATE, lacks_state SITE NUMBER STATE
has_state() {
        versions "$1" | grep -qE "^$2 ([^ ]*,)?$3(,[^ ]*)? "
}

lacks_state() {
        versions "$1" >"$WORLD/versions" && ! grep -qE "^$2 ([^ ]*,)?$3(,[^ ]*)? " "$WORLD/versions"
}

# rollback_times SINCE: When the first rollback after that was asked for, and when the old version was
# served, 0.0 when it is not yet; nothing when there is none.  It is asked for in the turn of the
# loop in which the sample comes that breaks the rule.
rollback_times() {
        sqlite3 -separator ' ' "file:$WORLD/state/state.db?mode=ro" \
                "SELECT created / 1e6, served / 1e6 FROM ops
                 WHERE verb = 'rollback' AND created / 1e6 > $1 ORDER BY id LIMIT 1"
}

# active SITE: The number of the active version.
active() {
        versions "$1" | awk '$2 ~ /(^|,)active(,|$)/ {print $1}'
}

is() {
        [ "$1" = "$2" ] || { echo "'$1', not '$2'"; return 1; }
}
