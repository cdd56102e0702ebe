#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Probes before and after an upgrade: a site that is not well is not upgraded, and an upgrade after
# which it is not well is taken back, with what was seen.
. "$(dirname "$0")/common.sh"

e2e_begin

prepared() {
        app_add app && cat >>"$WORLD/conf/sites.d/app.conf" <<END

[guard]
url = http://127.0.0.1:$PORT/

[probe page]
url = /
status = 200
expect_match = code=(\\w+) code=\\1 code=\\1 code=\\1
reject = broken

[probe feed]
weight = wanted
url = /feed.php
status = 200
END
        ctl site check app
}

# exits STATUS COMMAND...: What it says is in $WORLD/said.
exits() {
        local want=$1 status

        shift
        "$@" >"$WORLD/said" 2>&1
        status=$?
        [ "$status" -eq "$want" ] && return 0
        echo "exit status $status, not $want:"
        cat "$WORLD/said"
        return 1
}

upgraded() {
        exits 0 ctl upgrade app --label two -- "$WORLD/bin/upgrade-app" two &&
                app_expect "$PORT" two && [ "$(active app)" = 2 ]
}

noted() {
        output
        grep -q 'probe page: good (required)' "$WORLD/said" &&
                grep -q 'probe feed: bad (wanted)' "$WORLD/said" && return 0
        cat "$WORLD/said"
        return 1
}

# What the last operation printed.
output() {
        cat "$WORLD/state/ops/$(find "$WORLD/state/ops" -mindepth 1 -maxdepth 1 -printf '%f\n' |
                sort -n | tail -1)/output" >"$WORLD/said"
}

# The command succeeds; only a visitor sees that it broke the page.
taken_back() {
        cat >"$WORLD/bin/upgrade-broken" <<'END'
#!/bin/sh
echo '<?php http_response_code(500); echo "broken on purpose";' >index.php
END
        chmod 755 "$WORLD/bin/upgrade-broken"
        exits 6 ctl upgrade app --label three -- "$WORLD/bin/upgrade-broken" &&
                grep -q "probe 'page': status 500 instead of 200" "$WORLD/said" &&
                app_expect "$PORT" two && [ "$(active app)" = 2 ] && has_state app 3 bad && return 0
        cat "$WORLD/said"
        versions app
        return 1
}

evidence_kept() {
        output
        grep -q 'probe page: bad (required)' "$WORLD/said" &&
                grep -q '| broken on purpose' "$WORLD/said" && return 0
        cat "$WORLD/said"
        return 1
}

refused() {
        echo '<?php http_response_code(500); echo "broken before";' >"$SITES/app/current/index.php"
        sleep 3
        exits 4 ctl upgrade app --label four -- "$WORLD/bin/upgrade-app" four &&
                grep -q "probe 'page': status 500 instead of 200" "$WORLD/said" &&
                grep -q 'nothing was changed' "$WORLD/said" && [ "$(active app)" = 2 ] &&
                ! versions app | grep -q four && return 0
        cat "$WORLD/said"
        versions app
        return 1
}

# As the owner, in the version's directory.
asked() {
        cat >>"$WORLD/conf/sites.d/app.conf" <<'END'

[probe owner]
kind = command
command = /bin/sh -c "test \"$(id -un)\" = www-data && test -e index.php"

[probe bad]
kind = command
weight = wanted
when = before
command = /bin/sh -c "seq 9000; echo not well, the end; exit 1"

[probe strange]
kind = command
weight = wanted
when = before
command = /bin/sh -c "exit 17"
END
        ctl site check app && exits 0 ctl site probe app && cat "$WORLD/said" &&
                grep -qE '^page +http +required +good' "$WORLD/said" &&
                grep -qE '^feed +http +wanted +bad .*status 404' "$WORLD/said" &&
                grep -qE '^owner +command +required +good' "$WORLD/said" &&
                grep -qE '^bad +command +wanted +bad .*exited with status 1' "$WORLD/said" &&
                grep -qE '^strange +command +wanted +unknown .*status 17' "$WORLD/said" &&
                ctl site probe app --format json | grep -q '"excerpt": ".* 9000 not well, the end'
}

# A person need not look for it in the output.
last_words() {
        sed -i '/^\[probe bad\]/,/^weight/s/^weight = .*/weight = required/' "$WORLD/conf/sites.d/app.conf" &&
                exits 4 ctl upgrade app --label two -- "$WORLD/bin/upgrade-app" two &&
                grep -q "probe 'bad': '/bin/sh' exited with status 1: .* 9000 not well, the end" "$WORLD/said" ||
                { cat "$WORLD/said"; return 1; }
        sed -i '/^\[probe bad\]/,/^weight/s/^weight = .*/weight = wanted/' "$WORLD/conf/sites.d/app.conf"
}

# The file of the database is damaged for a moment: an unreadable database is bad.
database_asked() {
        local file

        printf '\n[probe data]\nkind = database\nweight = wanted\n' >>"$WORLD/conf/sites.d/app.conf"
        ctl site check app && exits 0 ctl site probe app &&
                grep -qE '^data +database +wanted +good' "$WORLD/said" || { cat "$WORLD/said"; return 1; }
        file=$(readlink -f "$SITES"/app/db/snap1_app/app.sqlite)
        cp -p "$file" "$WORLD/kept.sqlite" && dd if=/dev/urandom of="$file" bs=4096 count=1 conv=notrunc \
                status=none && exits 1 ctl site probe app
        cat "$WORLD/kept.sqlite" >"$file"
        grep -qE '^data +database +wanted +bad ' "$WORLD/said" || { cat "$WORLD/said"; return 1; }
}

# One command makes a site that is watched; what does not answer is said, and is no reason not to add.
added_with_a_guard() {
        add_guarded guarded "http://127.0.0.1:$PORT/" >"$WORLD/said" 2>&1 &&
                grep -q 'watched by 1 probe, and answers' "$WORLD/said" &&
                grep -qx "url = http://127.0.0.1:$PORT/" "$WORLD/conf/sites.d/guarded.conf" &&
                grep -qx '\[probe front\]' "$WORLD/conf/sites.d/guarded.conf" &&
                exits 0 ctl site probe guarded && grep -qE '^front +http +required +good' "$WORLD/said" &&
                exits 0 ctl site remove guarded -y || { cat "$WORLD/said"; return 1; }
        mkdir -p "$WORLD/conf/probes.d" &&
                cp "$(dirname "$0")/../../data/probes.d/wordpress.conf" "$WORLD/conf/probes.d/" || return 1
        exits 1 add_guarded silent http://127.0.0.1:1/ --preset wordpres &&
                grep -q "no preset 'wordpres'" "$WORLD/said" &&
                [ ! -e "$WORLD/conf/sites.d/silent.conf" ] && [ ! -L "$SITES/www/silent" ] ||
                { cat "$WORLD/said"; return 1; }
        add_guarded silent http://127.0.0.1:1/ --preset wordpress >"$WORLD/said" 2>&1 &&
                grep -q "silent: probe 'front' is" "$WORLD/said" &&
                grep -q 'snapctl site probe silent' "$WORLD/said" &&
                grep -qx 'presets = wordpress' "$WORLD/conf/sites.d/silent.conf" ||
                { cat "$WORLD/said"; return 1; }
        exits 0 ctl site remove silent -y && exits 2 ctl site add x --home "$SITES/x" --owner "$OWNER" \
                --preset wordpress
}

# add_guarded NAME URL [ARGUMENT...]
add_guarded() {
        local name=$1 url=$2

        shift 2
        [ -d "$SITES/www/$name" ] ||
                app_install one "$SITES/www/$name" "$SITES/data-$name" "$OWNER" || return 1
        ctl site add "$name" --home "$SITES/$name" --owner "$OWNER" --driver "$DRIVER" \
                --pool "$SITES/pool/$name" --adopt "$SITES/www/$name" --probe "$url" "$@" \
                -- "$WORLD/bin/upgrade-app"
}

need 'a site with probes is there' prepared
check 'a site is added with its guard' added_with_a_guard
check 'a database is asked whether it answers' database_asked
check 'each probe is asked on request' asked
check 'why a command fails is in the refusal, by the end of what it printed' last_words
check 'an upgrade that is well is kept' upgraded
check 'what each probe saw is in the output; a wanted one only warns' noted
check 'an upgrade after which the page fails is taken back, exit 6' taken_back
check 'its output has what was seen' evidence_kept
check 'a site that fails before is not upgraded, exit 4' refused
tap_done
