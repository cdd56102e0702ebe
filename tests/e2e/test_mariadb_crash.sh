#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A site on MariaDB whose operations are killed on the way: each is taken up again and ends, the site
# is served and can write, and no database, no connection and no lock is left behind.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/../lib/wordpress.sh"
. "$(dirname "$0")/../lib/database.sh"

for program in mariadbd mariadb mariadb-install-db; do
        command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] ||
                tap_skip "no $program on this machine"
done
php -m | grep -qx mysqli || tap_skip 'PHP has no mysqli'
wordpress_fetch 6.2 >/dev/null || tap_skip 'WordPress 6.2 cannot be fetched'
strings "$BUILD/snapd/snapd" 2>/dev/null | grep -q SITESNAP_FAULT ||
        grep -qa SITESNAP_FAULT "$BUILD/snapd/snapd" || tap_skip 'this build has no crash points'
e2e_begin
trap 'mariadb_end; leave' EXIT
mariadb_begin "$WORLD/mariadb" || { echo 'Bail out! no MariaDB'; exit 1; }
mariadb_site blog blog

# Copies on the server are those of versions, and nobody of ours is still there.
nothing_left() {
        local there wanted

        there=$(mariadb_sql "SHOW DATABASES LIKE 'snap%\\_blog%'" | sort)
        wanted=$(ctl list blog --json --columns database |
                python3 -c 'import json, sys
for v in json.load(sys.stdin)["versions"]:
    print(v["database"])' | grep '^snap' | sort)
        [ "$there" = "$wanted" ] || { echo "there: $there, wanted: $wanted"; return 1; }
        for _ in 1 2 3 4 5 6 7 8 9 10; do
                [ "$(mariadb_sql "SELECT count(*) FROM information_schema.processlist WHERE user = 'sitesnap'")" = 0 ] &&
                        return 0
                sleep 0.5
        done
        mariadb_sql 'SHOW FULL PROCESSLIST'
        return 1
}

can_write() {
        wordpress_php "$SITES/blog/current" "$OWNER" '
                require "wp-load.php";
                if (!update_option("written", "'"$1"'")) exit(1);' &&
                wordpress_verify "$PORT" 6.2
}

ended() {
        for _ in $(seq 100); do
                ctl check blog >/dev/null 2>&1 && return 0
                sleep 0.2
        done
        ctl ops list blog
        return 1
}

# killed_at PLACE: The process is killed there; the next one takes the operation up.
killed_at() {
        local id

        daemon_stop
        export SITESNAP_FAULT="kill@$1"
        daemon_start || return 1
        unset SITESNAP_FAULT
        ctl upgrade blog -- /bin/true >"$WORLD/upgrade.out" 2>&1
        cat "$WORLD/upgrade.out"
        # A point that taking back passes too kills until nobody tries any more.
        daemon_stop
        daemon_start || return 1
        id=$(ctl ops list blog --limit 1 --json | python3 -c 'import json, sys
for op in json.load(sys.stdin)["operations"]:
    if op["state"] == "held":
        print(op["id"])')
        [ -z "$id" ] || ctl ops resume "$id"
        ended && can_write "$1" && nothing_left
}

need 'WordPress on MariaDB is adopted' wordpress_adopt_mariadb
for place in db.hold:before db.hold:after fs.capture:after db.copy:before db.copy:after \
        db.verify:after db.writable:after catalog.commit:after hook.run:before; do
        check "killed at $place: ended, served, nothing left" killed_at "$place"
done

# The server goes while it is asked: the operation ends and says why; back again, all is well.
server_killed() {
        kill -STOP "$MARIADB_PID"
        ctl upgrade blog --no-wait -- /bin/true >"$WORLD/id" 2>&1
        sleep 1
        kill -KILL "$MARIADB_PID"
        wait "$MARIADB_PID" 2>/dev/null
        ended || return 1
        mariadb_run && can_write after-the-server && nothing_left
}
check 'the server is killed: the operation ends, and the next works' server_killed
ordinary() {
        ctl upgrade blog -- /bin/true && can_write at-the-end && nothing_left
}
check 'an upgrade without harm follows' ordinary
tap_done
