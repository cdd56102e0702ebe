#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The life of a small site: adopted, upgraded, visited in the past, switched, failed, pruned,
# rebooted, given back.
. "$(dirname "$0")/common.sh"

e2e_begin

adopted() {
        app_add app && app_expect "$PORT" one && is "$(active app)" 1 &&
                is "$(cat "$SITES/www/app/uploads/first.txt")" 'an upload'
}

upgraded() {
        ctl upgrade app --label two --reason 'new parts' -- "$WORLD/bin/upgrade-app" two &&
                app_expect "$PORT" two && is "$(active app)" 2 &&
                has_state app 1 kept && lacks_state app 1 active
}

beside() {
        ctl mount app 1 && has_state app 1 mounted &&
                web_site beside "$((PORT + 1))" "$SITES/app/versions/1" && web_start &&
                app_expect "$((PORT + 1))" one && app_expect "$PORT" two
}

beside_cannot_be_written() {
        ! touch "$SITES/app/versions/1/x" 2>/dev/null &&
                ! touch "$SITES/app/versions/1/uploads/x" 2>/dev/null &&
                ctl umount app 1
}

switched() {
        ctl activate app 1 && app_expect "$PORT" one && is "$(active app)" 1 &&
                ctl activate app 2 && app_expect "$PORT" two && is "$(active app)" 2
}

# What is written in the one must not be seen in the other, in files as in the database.
apart() {
        local now=$SITES/app/current

        ctl activate app 1 && echo left >"$now/left.txt" && ctl activate app 2 &&
                [ ! -e "$now/left.txt" ] && ctl activate app 1 && is "$(cat "$now/left.txt")" left &&
                ctl activate app 2
}

# Somebody stays in the version that was left: the switch does not wait for him, what is written
# there is kept, and the way back is not refused.
left_behind() {
        local left=$SITES/app/versions/2 pid result

        (cd "$left" && exec sleep 60) &
        pid=$!
        stays_in "$pid" "$left" && ctl activate app 1 && is "$(active app)" 1 && versions app | grep '^2 ' | grep leaving &&
                echo late >"$left/late.txt" && ctl rollback app && is "$(active app)" 2 &&
                is "$(cat "$SITES/app/current/late.txt")" late && rm "$SITES/app/current/late.txt"
        result=$?
        kill "$pid"
        wait "$pid"
        ctl ops follow "$(ctl ops app --limit 1 -p)" -q
        return "$result"
}

uploads_stay() {
        local now=$SITES/app/current

        echo late >"$now/uploads/late.txt" && ctl activate app 1 &&
                is "$(cat "$now/uploads/late.txt")" late && ctl activate app 2
}

rolled_back_and_forward() {
        ctl rollback app && app_expect "$PORT" one && ctl forward app && app_expect "$PORT" two
}

# Root's program after each switch is waited for, so long and no longer.
after_is_ended() {
        local conf=$WORLD/conf/sites.d/app.conf began

        cp "$conf" "$WORLD/app.conf" && began=$SECONDS &&
                printf '\n[switch]\nafter = /bin/sh -c "sleep 2; echo after; sleep 60"\n' >>"$conf" &&
                sed -i "s/^after_timeout = .*/after_timeout = 4s/" "$conf" &&
                ctl rollback app && [ $((SECONDS - began)) -lt 30 ] && app_expect "$PORT" one || return 1
        cp "$WORLD/app.conf" "$conf" && ctl forward app && app_expect "$PORT" two &&
                cat "$WORLD"/state/ops/*/output >"$WORLD/said" && grep -qx after "$WORLD/said" &&
                grep -q "warning: '/bin/sh' after the switch failed: .*4" "$WORLD/said" && return 0
        cat "$WORLD/said"
        return 1
}

failure_is_undone() {
        exits 6 '' ctl upgrade app --label three -- "$WORLD/bin/upgrade-app" three fail &&
                app_expect "$PORT" two && versions app | grep ' three$' | grep -q bad
}

# What a command leaves behind that cannot be kept must not hold the site.
mess_is_undone() {
        exits 6 '' ctl upgrade app --label mess -- "$WORLD/bin/upgrade-mess" fail &&
                app_expect "$PORT" two && versions app | grep ' mess$' | grep -q bad
}

mess_is_left_and_entered() {
        ctl upgrade app --label mess -- "$WORLD/bin/upgrade-mess" && app_expect "$PORT" mess &&
                ctl rollback app && app_expect "$PORT" two && ctl forward app &&
                app_expect "$PORT" mess && ctl rollback app && app_expect "$PORT" two
}

# After an operation its process measures the versions, which takes a while; a pin that is set then
# is not lost.
pinned_meanwhile() {
        for _ in 1 2 3 4; do
                ctl activate app 1 && ctl activate app 2 || return 1
                for _ in 1 2 3 4 5; do
                        ctl pin app 1 && has_state app 1 pinned && ctl unpin app 1 &&
                                lacks_state app 1 pinned || return 1
                done
        done
}

# A configuration file below a directory of the site's, which can be moved while it is mounted on:
# what the version is left with is a FIFO.  (Where the move cannot be done, nothing is wrong.)
unshowable() {
        local www=$SITES/www/moved command=$WORLD/bin/move-away

        mkdir -p "$www/conf" && echo '<?php $x = 1;' >"$www/conf/c.php" && chown -R "$OWNER" "$www" &&
                printf '#!/bin/sh\nmv conf old || exit 0\nmkdir conf && mkfifo conf/c.php\n' \
                        >"$command" && chmod 755 "$command" &&
                ctl site add moved --home "$SITES/moved" --owner "$OWNER" --driver "$DRIVER" \
                        --pool "$SITES/pool/moved" --adopt "$www" \
                        --set 'conf/c.php php-assign x on-{version}' &&
                ctl upgrade moved -- "$command" && ctl rollback moved &&
                is "$(active moved)" 1 && grep -q on-1 "$SITES/moved/current/conf/c.php" &&
                ctl site remove moved -y && [ -f "$www/conf/c.php" ]
}

endless_is_killed() {
        exits 6 '' ctl upgrade app --label endless --timeout 2s -- \
                "$WORLD/bin/upgrade-app" endless sleep && app_expect "$PORT" two &&
                ! pgrep -f 'sleep 600' >/dev/null
}

output_is_kept() {
        ctl ops app --format json | grep -q rolled-back &&
                grep -rq 'a table is missing' "$WORLD/state"
}

marks() {
        ctl pin app 1 && has_state app 1 pinned && exits 4 '' ctl prune app 1 -y &&
                ctl unpin app 1 && lacks_state app 1 pinned &&
                ctl mark app 1 bad --reason 'slow' && has_state app 1 bad &&
                ctl mark app 1 none && lacks_state app 1 bad
}

differs() {
        ctl diff app 1 2 | grep -q 'parts/one.php' && ! ctl diff app 1 2 | grep -q index.php
}

pruned() {
        local n

        exits 4 '' ctl prune app "$(active app)" -y && app_expect "$PORT" two || return 1
        for n in $(versions app | awk '$2 ~ /bad/ {print $1}'); do
                ctl prune app "$n" -y || return 1
        done
        ! versions app | grep -q bad
}

# What a reboot leaves: files and links, no process and no mount.
rebooted() {
        web_stop
        daemon_kill
        (cd / && world_unmount) && daemon_start && web_start && app_expect "$PORT" two &&
                is "$(cat "$SITES/app/current/uploads/first.txt")" 'an upload' &&
                ctl activate app 1 && app_expect "$PORT" one && ctl activate app 2
}

given_back() {
        ctl site remove app -y && app_expect "$PORT" two &&
                is "$(cat "$SITES/www/app/uploads/late.txt")" late &&
                [ -d "$SITES/www/app" ] && [ ! -L "$SITES/www/app" ] &&
                ! grep -qF "$SITES/" /proc/self/mountinfo &&
                grep -q 'return .two' "$SITES/www/app/parts/two.php" &&
                is "$(stat -c %U "$SITES/www/app/parts/two.php")" "$OWNER"
}

need 'a live directory is adopted and stays served' adopted
need 'an upgrade runs in place and keeps what was' upgraded
check 'the version before is served beside the live one' beside
check 'a version beside the live one cannot be written' beside_cannot_be_written
need 'code, configuration and database are switched together' switched
check 'what is written in one version stays there' apart
check 'a version that somebody stays in is left at once, and whole' left_behind
check 'uploads belong to all versions' uploads_stay
check 'rollback and forward' rolled_back_and_forward
check 'a command after a switch is ended when its time is over' after_is_ended
check 'a command that fails is undone' failure_is_undone
check 'a command that does not end is killed and undone' endless_is_killed
check 'what a failed command said is kept' output_is_kept
check 'a pinned version is not pruned; marks come and go' marks
check 'a pin that is set while versions are measured is kept' pinned_meanwhile
check 'diff names what changed' differs
check 'the active version is never pruned, bad ones can be' pruned
check 'a failed command that left a mess is undone' mess_is_undone
check 'a version with a mess can be left and entered' mess_is_left_and_entered
check 'a version that cannot be shown can be left' unshowable
check 'after a reboot the site is served again' rebooted
check 'a removed site is a plain directory' given_back
tap_done
