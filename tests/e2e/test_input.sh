#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What is asked wrongly: one sentence that says what, the right exit status, and a site that is
# served as before.
. "$(dirname "$0")/common.sh"

e2e_begin
need 'a site to ask about' app_add app
need 'a second version of it' ctl upgrade app --label two -- "$WORLD/bin/upgrade-app" two
need 'and a third' ctl upgrade app --label three -- "$WORLD/bin/upgrade-app" three

# refused STATUS TEXT ARGUMENT...: snapctl says this in one line, and nothing changed.
refused() {
        local before after

        before=$(versions app)
        exits "$1" "$2" ctl "${@:3}" && after=$(versions app) && is "$after" "$before" &&
                app_expect "$PORT" three
}

while IFS='|' read -r name status text arguments; do
        [ -n "$name" ] || continue
        # The table holds no argument with a blank in it.
        # shellcheck disable=SC2086
        check "$name" refused "$status" "$text" $arguments
done <<END
an unknown site|1|'nosuch'|list nosuch
an unknown site to upgrade|1|'nosuch'|upgrade nosuch -- /bin/true
an unknown version|1|9|activate app 9
a version that is no number|2|'x'|activate app x
a version too many|2||activate app 1 2
an unknown command|2|'dance'|dance app
an unknown option|2|--nosuch|list app --nosuch
a site without a home|2|--home|site add other --owner $OWNER
a name that is none|2|'../x'|site add ../x --home $SITES/x --owner $OWNER
a site that exists|1|'app'|site add app --home $SITES/app2 --owner $OWNER
an unknown owner|2|'nobody-at-all'|site add other --home $SITES/other --owner nobody-at-all
an unknown driver|2|'zfs'|site add other --home $SITES/other --owner $OWNER --driver zfs
a directory to adopt that is not there|1|'$SITES/nothing'|site add other --home $SITES/other --owner $OWNER --adopt $SITES/nothing
pruning the active version|4|3|prune app 3 -y
the version that is active already|8|3|activate app 3
nowhere to go forward|8||forward app
a range that runs backwards|2|7-3|prune app 7-3 -y
END

no_daemon() {
        daemon_stop
        exits 1 "$WORLD/run/snapd.sock" ctl list app && daemon_start && app_expect "$PORT" three
}

busy() {
        local pid status

        ctl upgrade app --label slow -- "$WORLD/bin/upgrade-app" slow sleep >"$WORLD/slow" 2>&1 &
        pid=$!
        for _ in $(seq 100); do
                pgrep -f 'sleep 600' >/dev/null && break
                sleep 0.1
        done
        exits 3 'upgrade' ctl activate app 1 --no-wait
        status=$?
        ctl ops abort "$(ctl status --format json | sed -n 's/.*"id": *\([0-9]*\).*/\1/p' | head -1)"
        wait "$pid"
        is "$?" 6 && app_expect "$PORT" three && return "$status"
}

pruned_number() {
        local n

        n=$(versions app | awk '$2 ~ /bad/ {print $1; exit}')
        ctl prune app "$n" -y && exits 1 "$n" ctl activate app "$n"
}

in_use() {
        local pid status

        ctl mount app 1 || return 1
        (cd "$SITES/app/versions/1" && exec sleep 30) &
        pid=$!
        stays_in "$pid" "$SITES/app/versions/1" || return 1
        exits 3 "$pid" ctl umount app 1
        status=$?
        kill "$pid"
        wait "$pid" 2>/dev/null
        ctl umount app 1 && return "$status"
}

missing_shared() {
        mv "$SITES/app/shared/uploads" "$SITES/app/shared/away"
        exits 1 uploads ctl activate app 1
        local status=$?
        mv "$SITES/app/shared/away" "$SITES/app/shared/uploads"
        app_expect "$PORT" three && return "$status"
}

bad_config() {
        local file=$WORLD/conf/sites.d/app.conf

        cp -p "$file" "$WORLD/app.conf"
        echo 'colour = green' >>"$file"
        exits 1 colour ctl site check app
        local status=$?
        cp -p "$WORLD/app.conf" "$file"
        ctl site check app && return "$status"
}

wrong_home() {
        mkdir -p "$WORLD/tmpfs" && mount -t tmpfs none "$WORLD/tmpfs" &&
                install -d -o "$OWNER" "$WORLD/tmpfs/www" && echo x >"$WORLD/tmpfs/www/x" &&
                exits 1 btrfs ctl site add other --home "$WORLD/tmpfs/home" \
                        --owner "$OWNER" --driver btrfs --adopt "$WORLD/tmpfs/www" &&
                is "$(cat "$WORLD/tmpfs/www/x")" x && umount "$WORLD/tmpfs"
}

# What another site has for itself, and what was there before, is not taken: a site's removal
# would take it along.
not_its_own() {
        local d=$SITES/precious

        # Nothing shared and no rule: no other mistake stands in the way of the one that is meant.
        mkdir -p "$SITES/www/other" "$d" "$SITES/wide" "$SITES/deployed" && chmod 700 "$d" &&
                echo gold >"$d/gold" && ln -s releases/5 "$SITES/deployed/current" &&
                add_refused 'pool/app' "$SITES/other" "$SITES/pool/app" &&
                add_refused 'pool/app/x' "$SITES/other" "$SITES/pool/app/x" &&
                add_refused 'pool/app' "$SITES/other" "$SITES/pool" &&
                add_refused 'app' "$SITES/app" "$SITES/pool/other" &&
                add_refused 'app/shared/x' "$SITES/app/shared/x" "$SITES/pool/other" &&
                add_refused 'app/shared/uploads' "$SITES/other" "$SITES/pool/other" \
                        "$SITES/app/shared/uploads" &&
                add_refused 'data-app' "$SITES/other" "$SITES/data-app/pool" &&
                add_refused 'precious' "$SITES/other" "$d" && is "$(cat "$d/gold")" gold &&
                add_refused 'chmod 700' "$SITES/other" "$SITES/wide" &&
                add_refused 'current' "$SITES/deployed" "$SITES/pool/other" &&
                is "$(readlink "$SITES/deployed/current")" releases/5 &&
                [ ! -e "$SITES/other" ] && [ ! -e "$SITES/pool/other" ] &&
                app_expect "$PORT" three && ctl activate app 2 && ctl activate app 3
}

# add_refused TEXT HOME POOL [DOCROOT]
add_refused() {
        ctl site add other --home "$2" --owner "$OWNER" --driver "$DRIVER" --pool "$3" \
                --adopt "${4:-$SITES/www/other}" >"$WORLD/said" 2>&1 &&
                { echo "a site at '$2' with pool '$3' was added"; return 1; }
        grep -F "$1" "$WORLD/said" | grep -q 'snapctl:' && ! ctl list other 2>/dev/null
}

check 'no daemon: says where it looked' no_daemon
check 'one operation at a time, and who has it; abort undoes it' busy
check 'a number that was pruned' pruned_number
check 'a version in use by a process' in_use
check 'a shared path that is gone' missing_shared
check 'a mistake in the configuration is named' bad_config
check 'a home the driver cannot work on' wrong_home
check 'a place of another site, or with something in it' not_its_own
tap_done
