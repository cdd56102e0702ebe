#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the preset sees of Ghost, which is a process of its own, keeps most answers in memory and brings
# its database up when it starts.  With SITESNAP_TEST_ALL=1 only, since npm fetches it for minutes.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/../lib/ghost.sh"

[ -n "${SITESNAP_TEST_ALL:-}" ] || tap_skip 'with SITESNAP_TEST_ALL=1 only'
missing=$(ghost_can) || tap_skip "$missing"
OLD=5.130.0 NEW=5.130.6
for version in $OLD $NEW; do
        ghost_fetch $version >/dev/null || tap_skip "Ghost $version cannot be fetched"
done
e2e_begin
# A busy machine may take its time to answer.
cp -r "$(dirname "$0")/../../data/probes.d" "$WORLD/conf/" &&
        sed -i 's/^kind = http$/&\ntimeout = 1m/' "$WORLD/conf/probes.d/ghost.conf" || exit 1
BACKEND=$(port_free)

adopted() {
        ghost_install $OLD "$SITES/www/press" "$SITES/data-press" "$PORT" "$OWNER" "$BACKEND" &&
                web_start || return 1
        ghost_restart_write "$WORLD/bin/restart-ghost" "$PORT"
        ghost_serve "$SITES/www/press" "$OWNER" &
        ghost_up "$PORT" && ghost_set_up "$PORT" || { tail -n 5 "$WORLD/web/ghost/log"; return 1; }
        ctl site add press --home "$SITES/press" --owner "$OWNER" --driver "$DRIVER" \
                --pool "$SITES/pool/press" --adopt "$SITES/www/press" --shared content/images \
                --database "sqlite:$SITES/data-press" \
                --set 'config.production.json json database.connection.filename {database_dir}/ghost.db' \
                --probe "http://127.0.0.1:$PORT/" --preset ghost &&
                sed -i 's/^probation = .*/probation = 20s/; s/^after_timeout = .*/after_timeout = 5m/' "$WORLD/conf/sites.d/press.conf" &&
                printf '\n[switch]\nafter = %s\n' "$WORLD/bin/restart-ghost" >>"$WORLD/conf/sites.d/press.conf" &&
                ctl site check press && "$WORLD/bin/restart-ghost"
}

# sees good | bad PROBE...: What each of these probes is, asked now.
sees() {
        local what=$1

        shift
        ctl site probe press >"$WORLD/said" 2>&1
        for probe; do
                grep -qE "^$probe +http +required +$what" "$WORLD/said" || { cat "$WORLD/said"; return 1; }
        done
}

# database: Its file, as the configuration that is served says.
database() {
        python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["database"]["connection"]["filename"])' \
                "$SITES/press/current/config.production.json"
}

tables() {
        local file status

        file=$(database)
        sqlite3 -cmd '.timeout 20000' "$file" 'ALTER TABLE posts RENAME TO away' && sees bad front && status=0 || status=1
        sqlite3 -cmd '.timeout 20000' "$file" 'ALTER TABLE away RENAME TO posts' && [ $status -eq 0 ] || return 1
        sqlite3 -cmd '.timeout 20000' "$file" 'ALTER TABLE users RENAME TO away' && sees bad owner && status=0 || status=1
        sqlite3 -cmd '.timeout 20000' "$file" 'ALTER TABLE away RENAME TO users' && [ $status -eq 0 ] &&
                sees good front owner
}

# Where the configuration names a file that is not there Ghost makes it, and answers 200.
another_database() {
        local file

        file=$(database)
        mv "$file" "$file.away" && "$WORLD/bin/restart-ghost" && ghost_up "$PORT" &&
                web_expect "$PORT" / 200 '<html' && sees good front && sees bad owner || return 1
        mv "$file.away" "$file" && "$WORLD/bin/restart-ghost" && ghost_up "$PORT" && sees good front owner
}

# version: What release answers.
version() {
        curl -s -m 30 "http://127.0.0.1:$PORT/ghost/api/admin/site/" |
                python3 -c 'import json, sys; print(json.load(sys.stdin)["site"]["version"])'
        sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' "$SITES/press/current/package.json" | head -1
}

broken() {
        exits 6 "probe '" ctl upgrade press -q --staged --label broken -- "$WORLD/bin/upgrade-ghost" \
                "$CACHE/ghost-$NEW" broken && is "$(active press)" 1 && ghost_up "$PORT" && sees good front owner &&
                version | grep -qx $OLD
}

# A good release, whose first start takes half a minute, is kept and gets through its probation.
upgraded() {
        ctl upgrade press -q --staged --label good -- "$WORLD/bin/upgrade-ghost" "$CACHE/ghost-$NEW" || return 1
        GOOD=$(active press)
        [ "$GOOD" -gt 1 ] && sees good front owner && version | grep -qx $NEW &&
                state_becomes good 120 && is "$(active press)" "$GOOD"
}

# So is the version before, when somebody goes back; nobody is told that it fails meanwhile.
back() {
        ctl rollback press && is "$(active press)" 1 && sees good front owner && version | grep -qx $OLD &&
                sleep 15 && is "$(guard_state)" none && ! ctl ops press --json | grep -q '"cause": {'
}

guard_state() {
        ctl site show press --json | sed -n 's/.*"guard_state": *"\([a-z-]*\)".*/\1/p'
}

# state_becomes STATE SECONDS
state_becomes() {
        local until=$((SECONDS + $2))

        while [ "$SECONDS" -le "$until" ]; do
                [ "$(guard_state)" != "$1" ] || return 0
                sleep 0.5
        done
        echo "after $2 s the state is '$(guard_state)', not '$1'"
        ctl status press
        return 1
}

need 'Ghost is adopted' adopted
check 'and is well' sees good front owner
check 'a table that is away is noticed' tables
check 'another database is noticed, though Ghost answers 200' another_database
check 'a release without a part of its core is taken back' broken
check 'a good one is kept, however slowly it starts' upgraded
check 'and left again' back
: >"$WORLD/web/ghost/end"
tap_done
