#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A second real application, whose database lies inside its docroot: WordPress on SQLite.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/../lib/wordpress.sh"

for version in 6.2 6.5; do
        wordpress_fetch $version >/dev/null || tap_skip "WordPress $version cannot be fetched"
done
e2e_begin

adopted() {
        wordpress_install 6.2 "$SITES/www/blog" "$PORT" "$OWNER" &&
                web_site blog "$PORT" "$SITES/www/blog" && web_start &&
                ctl site add blog --home "$SITES/blog" --owner "$OWNER" --driver "$DRIVER" \
                        --pool "$SITES/pool" --adopt "$SITES/www/blog" \
                        --shared wp-content/uploads \
                        --database sqlite:wp-content/database &&
                wordpress_verify "$PORT" 6.2 && wordpress_login "$PORT"
}

upgraded() {
        ctl upgrade blog --label 6.5 -- "$WORLD/bin/upgrade-wordpress" "$CACHE/wordpress-6.5" &&
                wordpress_verify "$PORT" 6.5 && wordpress_login "$PORT"
}

taking_turns() {
        local pid result

        printf '200 http://127.0.0.1:%s/kept-post-%s/ Kept text %s\n' \
                "$PORT" 1 1 "$PORT" 2 2 >"$WORLD/urls"
        "$BUILD/tests/e2e/load" -c 4 -s 'content="WordPress ' -l "$SITES/blog/current" \
                -f stamp.txt "$WORLD/urls" >"$WORLD/load" &
        pid=$!
        for _ in 1 2 3 4 5; do
                ctl activate blog 1 && sleep 0.4 && ctl activate blog 2 && sleep 0.4 || break
        done
        kill -TERM "$pid"
        wait "$pid"
        result=$?
        cat "$WORLD/load"
        return "$result"
}

given_back() {
        ctl rollback blog && wordpress_verify "$PORT" 6.2 && wordpress_login "$PORT" &&
                ctl site remove blog -y && wordpress_verify "$PORT" 6.2 &&
                [ -s "$SITES/www/blog/wp-content/database/.ht.sqlite" ]
}

need 'WordPress 6.2 with its database in the docroot is adopted' adopted
need 'its own migrator brings it to 6.5' upgraded
check 'no request fails while releases take turns' taking_turns
measured "wordpress, $DRIVER: $(cat "$WORLD/load")"
check 'rolled back and given back as a plain directory' given_back
tap_done
