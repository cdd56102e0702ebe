#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the presets of probes.d see of the real application: a site that is well, also one with nothing
# in it, a release that is, and the ways to break it that sitesnap-site.conf(5) says they notice.  A broken
# release takes ten seconds to be believed, so that some of them are with SITESNAP_TEST_ALL=1 only.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/../lib/wordpress.sh"
. "$(dirname "$0")/../lib/roundcube.sh"

for version in 6.2 6.5; do
        wordpress_fetch $version >/dev/null || tap_skip "WordPress $version cannot be fetched"
done
for version in 1.6.5 1.6.18; do
        roundcube_fetch $version >/dev/null || tap_skip "Roundcube $version cannot be fetched"
done
e2e_begin
cp -r "$(dirname "$0")/../../data/probes.d" "$WORLD/conf/" || exit 1
MAIL_PORT=$(port_free)

# add NAME PORT PRESET ARGUMENT...
add() {
        local name=$1 port=$2 preset=$3

        shift 3
        web_site "$name" "$port" "$SITES/www/$name" && web_start &&
                ctl site add "$name" --home "$SITES/$name" --owner "$OWNER" --driver "$DRIVER" \
                        --pool "$SITES/pool/$name" --adopt "$SITES/www/$name" \
                        --probe "http://127.0.0.1:$port/" --preset "$preset" "$@"
}

# Not a post, a page or a draft.
wordpress_emptied() {
        wordpress_install 6.2 "$SITES/www/blog" "$PORT" "$OWNER" &&
                wordpress_php "$SITES/www/blog" "$OWNER" '
                        require "wp-load.php"; global $wpdb;
                        foreach (get_posts(["post_type" => "any", "post_status" => "any",
                                "numberposts" => -1]) as $post) wp_delete_post($post->ID, true);
                        exit($wpdb->get_var("SELECT COUNT(*) FROM $wpdb->posts") === "0" ? 0 : 1);' &&
                add blog "$PORT" wordpress --shared wp-content/uploads \
                        --database sqlite:wp-content/database
}

roundcube_adopted() {
        roundcube_install 1.6.5 "$SITES/www/mail" "$SITES/data-mail" "$OWNER" &&
                add mail "$MAIL_PORT" roundcube --database "sqlite:$SITES/data-mail" \
                        --set 'config/config.inc.php php-assign config.db_dsnw sqlite:///{database_dir}/mail.db?mode=0640'
}

# sees NAME SITE: Asked now, all probes are good but this one, which is bad; with 'nothing' none is.
# Of several names the first is, and the others may be.
sees() {
        local name=$1 site=$2 others=${3:-none}

        ctl site probe "$site" >"$WORLD/said" 2>&1
        if [ "$name" = nothing ]; then
                [ "$(grep -cE '^[a-z]+ +(http|command) +(required|wanted) +good' "$WORLD/said")" = \
                        "$(grep -c '^\[probe ' "$WORLD/conf/probes.d/$PRESET.conf")" ] && return 0
        else
                grep -qE "^$name +[a-z]+ +required +bad" "$WORLD/said" &&
                        ! grep -E ' (bad|unknown) ' "$WORLD/said" | grep -vqE "^($name|$others) " && return 0
        fi
        echo "asked for '$name' of '$site':"
        cat "$WORLD/said"
        return 1
}

# without TABLE FILE COMMAND...: The command succeeds while the table is away.
without() {
        local table=$1 file=$2 status

        shift 2
        sqlite3 -cmd '.timeout 20000' "$file" "ALTER TABLE $table RENAME TO ${table}_away" || return 1
        "$@" && status=0 || status=1
        sqlite3 -cmd '.timeout 20000' "$file" "ALTER TABLE ${table}_away RENAME TO $table" || return 1
        [ "$status" -eq 0 ] || echo "without $table"
        return "$status"
}

# file_of SITE NAME: The file of that name in the directory of the active version's database.
file_of() {
        readlink -f "$SITES/$1/db/$(ctl show "$1" "$(active "$1")" --json |
                python3 -c 'import json, sys; print(json.load(sys.stdin)["database"])')/$2"
}

# taken_back SITE PROBE TEXT COMMAND...: After this upgrade that probe is bad, its record says why, and
# the site is as before.
taken_back() {
        local site=$1 probe=$2 text=$3 before

        shift 3
        before=$(active "$site")
        exits 6 "probe '$probe'" ctl upgrade "$site" -q --label "broken" -- "$@" &&
                is "$(active "$site")" "$before" && sees nothing "$site" || return 1
        cp "$WORLD/state/ops/$(sqlite3 "file:$WORLD/state/state.db?mode=ro" \
                "SELECT max(id) FROM ops WHERE verb = 'upgrade'")/output" "$WORLD/said"
        grep -qF "$text" "$WORLD/said" || { cat "$WORLD/said"; return 1; }
}

wordpress_tables() {
        local file=$SITES/blog/current/wp-content/database/.ht.sqlite

        for table in wp_posts wp_postmeta wp_users wp_usermeta wp_comments wp_term_relationships; do
                without $table "$file" sees tables blog || return 1
        done
        for table in wp_terms wp_term_taxonomy; do
                without $table "$file" sees tables blog content || return 1
        done
        without wp_options "$file" sees front blog 'login|api|content|tables|migrated'
}

# As WordPress closes itself while it updates.
wordpress_closed() {
        local status

        # shellcheck disable=SC2016
        echo '<?php $upgrading = time();' >"$SITES/blog/current/.maintenance"
        sees front blog 'login|api|content|tables|migrated' && grep -qE "^front .*WordPress's maintenance mode is on" "$WORLD/said" &&
                status=0 || status=1
        rm "$SITES/blog/current/.maintenance"
        [ "$status" -eq 0 ] && sees nothing blog
}

wordpress_releases() {
        local tree=$CACHE/wordpress-6.5

        taken_back blog migrated 'the database is 53496, the code is 57155' \
                "$WORLD/bin/upgrade-wordpress" "$tree" unmigrated || return 1
        [ -z "${SITESNAP_TEST_ALL:-}" ] ||
                taken_back blog front 'status 500' "$WORLD/bin/upgrade-wordpress" "$tree" broken || return 1
        ctl upgrade blog -q --label 6.5 -- "$WORLD/bin/upgrade-wordpress" "$tree" && sees nothing blog
}

roundcube_tables() {
        local file

        file=$(file_of mail mail.db)
        for table in users identities contacts contactgroups contactgroupmembers; do
                without $table "$file" sees tables mail || return 1
        done
        without session "$file" sees login mail tables && without system "$file" sees tables mail migrated
}

roundcube_blind_status() {
        local file

        file=$(file_of mail mail.db)
        mv "$file" "$file.away" && head -c 65536 /dev/urandom >"$file" && chown "$OWNER" "$file" &&
                web_expect "$MAIL_PORT" / 200 'went wrong' && sees login mail 'tables|migrated' &&
                mv "$file.away" "$file" && sees nothing mail
}

roundcube_releases() {
        local tree=$CACHE/roundcube-1.6.18

        taken_back mail login 'status 500' "$WORLD/bin/upgrade-roundcube" "$tree" broken || return 1
        [ -z "${SITESNAP_TEST_ALL:-}" ] ||
                taken_back mail migrated 'the code needs 2099010100' \
                        "$WORLD/bin/upgrade-roundcube" "$tree" unmigrated || return 1
        ctl upgrade mail -q --label 1.6.18 -- "$WORLD/bin/upgrade-roundcube" "$tree" &&
                sees nothing mail && roundcube_verify "$MAIL_PORT" 1.6.18
}

PRESET=wordpress
need 'WordPress with nothing in it is adopted' wordpress_emptied
check 'and is well' sees nothing blog
check 'each table of WordPress that is away is noticed' wordpress_tables
check 'WordPress that has closed itself is named so' wordpress_closed
check 'a release of WordPress that is broken is taken back, a good one stays' \
        wordpress_releases
PRESET=roundcube
need 'Roundcube is adopted' roundcube_adopted
check 'and is well' sees nothing mail
check 'each table of Roundcube that is away is noticed' roundcube_tables
check 'a database that is none is noticed, though the status is 200' roundcube_blind_status
check 'a release of Roundcube that is broken is taken back, a good one stays' \
        roundcube_releases
tap_done
