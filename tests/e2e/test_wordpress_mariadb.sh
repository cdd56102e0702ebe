#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# WordPress on MariaDB: two releases, upgraded by its own migrator, the old one visited beside the
# new one, rolled back and forward; what was written in between is told, and no password is seen
# where others can look.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/../lib/wordpress.sh"
. "$(dirname "$0")/../lib/database.sh"

wordpress_mariadb_needed
e2e_begin
trap 'mariadb_end; leave' EXIT
mariadb_begin "$WORLD/mariadb" || { echo 'Bail out! no MariaDB'; exit 1; }
mariadb_site blog blog
wordpress_releases 6.2 6.5

# What only a process of ours may know stands nowhere that others see.
secrets_hidden() {
        local secret pid

        secret=$(cat "$MARIADB_SECRET")
        for pid in $(world_processes); do
                tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -F "$secret" && return 1
                tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -F "$secret" && return 1
        done
        ! grep -raF "$secret" "$WORLD/state" "$WORLD/run" "$WORLD/log" "$WORLD/conf"
}

# While an operation runs, its processes are looked at again and again.
upgraded() {
        local pid result

        ctl upgrade blog --label 6.5 -- "$WORLD/bin/upgrade-wordpress" "$WORLD/wordpress-6.5" \
                >"$WORLD/upgrade.out" 2>&1 &
        pid=$!
        while kill -0 "$pid" 2>/dev/null; do
                secrets_hidden || { kill "$pid"; return 1; }
                sleep 0.2
        done
        wait "$pid"
        result=$?
        cat "$WORLD/upgrade.out"
        [ "$result" -eq 0 ] && wordpress_verify "$PORT" 6.5 && wordpress_login "$PORT"
}

adopted() {
        wordpress_adopt_mariadb && wordpress_login "$PORT" && ctl site check blog
}

forecast() {
        ctl upgrade blog --dry-run --json -- /bin/true >"$WORLD/plan" &&
                python3 - "$WORLD/plan" <<'END'
import json, sys
database = json.load(open(sys.argv[1]))["database"]
assert database["way"] in ("snapshot", "files", "dump"), database
assert database["stall_msec"] <= 2000 and database["why"], database
END
}

# The kept version on a port of its own, with its own database; what it writes is refused.
beside() {
        local old

        old=$(port_free)
        web_site old "$old" "$SITES/blog/versions/1" && web_start &&
                grep -q "'DB_NAME', 'snap[0-9]*_blog'" "$SITES/blog/versions/1/wp-config.php" &&
                grep -q "'DB_NAME', 'blog'" "$SITES/blog/versions/2/wp-config.php" &&
                WEB_DIR=$WORLD/web web_expect "$old" /readme.html 200 'WordPress' &&
                [ "$(mariadb_sql "SELECT option_value FROM $(kept).wp_options WHERE option_name = 'db_version'")" = 53496 ] &&
                ! mariadb --no-defaults -S "$MARIADB_SOCKET" -u blog "-p$MARIADB_PASSWORD" \
                        -e "UPDATE $(kept).wp_options SET option_value = 'x' LIMIT 1" 2>/dev/null
}

# kept: The database of version 1.
kept() {
        ctl show blog 1 --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["database"])'
}

written_between() {
        wordpress_php "$SITES/blog/current" "$OWNER" '
                require "wp-load.php";
                wp_insert_post(["post_title" => "Lost post", "post_name" => "lost-post",
                        "post_content" => "It`s \"lost\"", "post_status" => "publish"]);' &&
                web_expect "$PORT" /lost-post/ 200 'lost' &&
                echo later >"$SITES/blog/shared/wp-content/uploads/later.txt"
}

rolled_back() {
        ctl rollback blog && wordpress_verify "$PORT" 6.2 && wordpress_login "$PORT" &&
                web_expect "$PORT" /lost-post/ 404 ''
}

lost() {
        ctl lost-writes blog 1 2 --sql "$WORLD/lost.sql" --json >"$WORLD/lost" || return 1
        ctl lost-writes blog 1 2
        python3 - "$WORLD/lost" <<'END' || return 1
import json, sys
lost = json.load(open(sys.argv[1]))
tables = {t["table"]: t for t in lost["tables"]}
assert tables["wp_posts"]["inserted"] >= 1, tables
assert tables["wp_options"]["changed"] >= 1, tables
assert "wp-content/uploads/later.txt" in lost["uploads"]["paths"], lost["uploads"]
END
        grep -q "INSERT INTO \`wp_posts\` .*'lost-post'" "$WORLD/lost.sql"
}

rolled_forward() {
        ctl forward blog && wordpress_verify "$PORT" 6.5 && wordpress_login "$PORT" &&
                web_expect "$PORT" /lost-post/ 200 'lost'
}

schemas() {
        ctl schema blog 2 | grep -q wp_posts && ctl schema-diff blog 1 2 &&
                ctl list blog --json --columns number,schema_changed >"$WORLD/list" &&
                mariadb_sql 'ALTER TABLE blog.wp_posts ADD COLUMN by_hand INT' &&
                ctl upgrade blog --dry-run -- /bin/true >"$WORLD/drift" &&
                grep -q 'by_hand' "$WORLD/drift"
}

downgrade_refused() {
        ctl upgrade blog --label 6.2 -- /bin/true >"$WORLD/down" 2>&1
        [ $? -eq 4 ] && grep -q 'never migrated down' "$WORLD/down"
}

# Version 1 is served when the site goes, so that its copy is what stays, and is named.
given_back() {
        local database

        ctl rollback blog && database=$(kept) && ctl site remove blog -y &&
                [ ! -L "$SITES/www/blog" ] && wordpress_verify "$PORT" 6.2 &&
                grep -q "'DB_NAME', '$database'" "$SITES/www/blog/wp-config.php" &&
                wordpress_login "$PORT" &&
                [ "$(mariadb_sql "SHOW DATABASES LIKE 'snap%\_blog'")" = "$database" ] &&
                [ "$(mariadb_sql "SHOW DATABASES LIKE 'blog'")" = blog ]
}

need 'WordPress 6.2 on MariaDB is adopted where its database lies' adopted
check 'a dry run tells how its database would be copied' forecast
need 'its own migrator brings it to 6.5, and no secret is seen' upgraded
check 'the old version has its own database, which its site cannot write' beside
check 'something is written in between' written_between
need 'rolled back, it is what it was' rolled_back
check 'what was written in between is told' lost
need 'rolled forward, it is there again' rolled_forward
check 'schemas are listed, compared, and watched for drift' schemas
check 'an older release is refused' downgrade_refused
check 'given back with the database it has, nothing of the others left' given_back
check 'no secret is left in state, logs or configuration' secrets_hidden
tap_done
