#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# MediaWiki on PostgreSQL: two releases, upgraded by its own migrator, the old one visited beside the
# new one, rolled back and forward; what was written in between is told.  Over one driver the site has
# a schema in its database, over the other each version has a database of its own (and what is the same
# for both is left out there, unless everything is run).
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/../lib/database.sh"

[ -x "$POSTGRES_BIN/initdb" ] || tap_skip 'no PostgreSQL server on this machine'
command -v psql >/dev/null || tap_skip 'no psql on this machine'
php -m | grep -qx pgsql || tap_skip 'PHP has no pgsql'
for version in 1.39 1.43; do
        mediawiki_fetch $version >/dev/null || tap_skip "MediaWiki $version cannot be fetched"
done
e2e_begin
trap 'postgres_end; leave' EXIT
postgres_begin "$WORLD/pg" scram-sha-256 || { echo 'Bail out! no PostgreSQL'; exit 1; }
postgres_site wiki wiki

if [ "$DRIVER" = overlayfs ]; then
        layout=(--database postgres:mediawiki --database-option database=wiki
                --set 'LocalSettings.php php-assign wgDBmwschema {database_schema}')
else
        layout=(--database postgres:wiki --set 'LocalSettings.php php-assign wgDBname {database}')
fi
PORT_OLD=$(port_free)

# value VERSION KEY: What its configuration says.
value() {
        sed -n "s/^\$$2 *= *[\"']\([^\"']*\)[\"'];/\1/p" "$SITES/wiki/versions/$1/LocalSettings.php"
}
# as_site VERSION SQL: The site's user in the database of that version, as the application would.
as_site() {
        PGPASSWORD=$POSTGRES_PASSWORD PGOPTIONS="-c search_path=$(value "$1" wgDBmwschema)" \
                psql -h "$POSTGRES_SOCKET" -U wiki -d "$(value "$1" wgDBname)" -AtqX \
                -v ON_ERROR_STOP=1 -c "$2"
}
# page_id VERSION TITLE
page_id() {
        as_site "$1" "SELECT page_id FROM page WHERE page_title = '$2'"
}

# What only a process of ours may know, and what only the site's configuration may say.
passwords_hidden() {
        ! grep -raF "$(cat "$POSTGRES_SECRET")" "$WORLD/state" "$WORLD/run" "$WORLD/log" "$WORLD/conf" &&
                ! grep -raF "$POSTGRES_PASSWORD" "$WORLD"/state/state.db* "$WORLD/run" "$WORLD/log" \
                        "$WORLD/conf"
}

installed() {
        wiki_install 1.39 "$SITES/www" "$WORLD/seed" "$PORT" "$OWNER" --dbtype postgres \
                --dbserver "$POSTGRES_SOCKET" --dbname wiki --dbuser wiki \
                --dbpass "$POSTGRES_PASSWORD" &&
                PICTURE=$(wiki_picture "$SITES/www") &&
                web_site wiki "$PORT" "$SITES/www" && web_start && wiki_verify "$PORT" 1.39 "$PICTURE"
}

added() {
        ctl site add wiki --home "$SITES/wiki" --owner "$OWNER" --driver "$DRIVER" \
                --pool "$SITES/pool" --adopt "$SITES/www" --shared images \
                --database-option "socket=$POSTGRES_SOCKET" --database-option user=sitesnap \
                --database-option run_as=daemon --database-option "secret_file=$POSTGRES_SECRET" \
                --database-option app_user=wiki "${layout[@]}"
}

# What the refusal tells an administrator to run is run as it stands.
refused_and_granted() {
        added >"$WORLD/refused" 2>&1 && return 1
        cat "$WORLD/refused"
        sed -n 's/.*as an administrator of the server: //p' "$WORLD/refused" >"$WORLD/grants"
        grep -q 'GRANT wiki TO sitesnap' "$WORLD/grants" && [ ! -L "$SITES/www" ] &&
                postgres_sql wiki "$(cat "$WORLD/grants")"
}

adopted() {
        added && ctl site check wiki && wiki_verify "$PORT" 1.39 "$PICTURE" && wiki_login "$PORT"
}

upgraded() {
        ctl upgrade wiki --label 1.43 -- "$WORLD/bin/upgrade-wiki" "$CACHE/mediawiki-1.43" &&
                wiki_verify "$PORT" 1.43 "$PICTURE" && wiki_login "$PORT"
}

# The old release on a port of its own, from its own database, whatever is changed in the new one; its
# user can neither write there, nor give himself the right, nor make anything.
beside() {
        local sql

        web_site old "$PORT_OLD" "$SITES/wiki/versions/1" && web_start &&
                as_site 2 "UPDATE page SET page_title = 'Moved' WHERE page_title = 'Kept_page_5'" &&
                web_expect "$PORT_OLD" /index.php/Kept_page_5 200 'Kept text 5' &&
                web_expect "$PORT" /index.php/Kept_page_5 404 '' &&
                as_site 2 "UPDATE page SET page_title = 'Kept_page_5' WHERE page_title = 'Moved'" &&
                wiki_verify "$PORT_OLD" 1.39 "$PICTURE" && wiki_verify "$PORT" 1.43 "$PICTURE" &&
                [ "$(place 1)" != "$(place 2)" ] || return 1
        for sql in "UPDATE page SET page_title = 'x'" 'DELETE FROM page' 'TRUNCATE page CASCADE' \
                "SELECT nextval('page_page_id_seq')" 'DROP TABLE page' \
                "GRANT ALL ON page TO wiki; UPDATE page SET page_title = 'x'" \
                'ALTER TABLE page OWNER TO wiki' 'CREATE TABLE mine (a int)'; do
                ! as_site 1 "$sql" 2>"$WORLD/refused" || { echo "kept, but: $sql"; return 1; }
                grep -qE 'permission denied|must be (owner|member)' "$WORLD/refused" ||
                        { cat "$WORLD/refused"; return 1; }
        done
}

# place VERSION: Which database and schema it works in.
place() {
        echo "$(value "$1" wgDBname) $(value "$1" wgDBmwschema)"
}

# edited VERSION TITLE TEXT: By the application's own means.
edited() {
        (cd "$SITES/wiki/versions/$1" &&
                as_user "$OWNER" php maintenance/edit.php -u Admin "$2" <<<"$3")
}

written_between() {
        edited 2 'Lost page' "It's \"lost\" \\ here" && edited 2 'Kept page 1' 'Changed text 1' &&
                web_expect "$PORT" /index.php/Lost_page 200 'lost' &&
                web_expect "$PORT" /index.php/Kept_page_1 200 'Changed text 1' &&
                as_user "$OWNER" touch "$SITES/wiki/current/images/later.png"
}

rolled_back() {
        ctl rollback wiki && wiki_verify "$PORT" 1.39 "$PICTURE" && wiki_login "$PORT" &&
                web_expect "$PORT" /index.php/Lost_page 404 '' &&
                web_expect "$PORT" /index.php/Kept_page_1 200 'Kept text 1'
}

# Numbers that a sequence gives out go on where this version's own rows end.
writes_again() {
        edited 1 'Old page' 'Written after the rollback' &&
                web_expect "$PORT" /index.php/Old_page 200 'Written after the rollback' &&
                edited 1 'Old page' 'Written twice' &&
                ! as_site 2 "UPDATE page SET page_title = 'x'" 2>/dev/null
}

lost() {
        ctl lost-writes wiki 1 2 --sql "$WORLD/lost.sql" --json >"$WORLD/lost" || return 1
        ctl lost-writes wiki 1 2
        python3 - "$WORLD/lost" <<'END' || return 1
import json, sys
lost = json.load(open(sys.argv[1]))
tables = {t["table"].split(".")[-1]: t for t in lost["tables"]}
assert tables["page"]["inserted"] == 1 and tables["page"]["changed"] >= 1, tables["page"]
assert tables["revision"]["inserted"] == 2, tables["revision"]
assert "images/later.png" in lost["uploads"]["paths"], lost["uploads"]
END
        grep -q "INSERT INTO .*page.*'Lost_page'" "$WORLD/lost.sql"
}

rolled_forward() {
        ctl forward wiki && wiki_verify "$PORT" 1.43 "$PICTURE" && wiki_login "$PORT" &&
                web_expect "$PORT" /index.php/Lost_page 200 'lost' &&
                web_expect "$PORT" /index.php/Old_page 404 '' &&
                edited 2 'Lost page' 'Found again' &&
                web_expect "$PORT" /index.php/Lost_page 200 'Found again'
}

schemas() {
        ctl schema wiki 2 >"$WORLD/schema" && grep -q page "$WORLD/schema" &&
                ctl schema-diff wiki 1 2 >"$WORLD/diff" && [ -s "$WORLD/diff" ] &&
                as_site 2 'ALTER TABLE page ADD COLUMN by_hand int' &&
                ctl upgrade wiki --dry-run -- /bin/true >"$WORLD/drift" &&
                grep -q 'by_hand' "$WORLD/drift"
}

pruned() {
        ctl upgrade wiki -- /bin/true && ctl prune wiki 1 -y && wiki_verify "$PORT" 1.43 "$PICTURE"
}

given_back() {
        local there

        ctl site remove wiki -y && [ ! -L "$SITES/www" ] && wiki_verify "$PORT" 1.43 "$PICTURE" &&
                wiki_login "$PORT" || return 1
        there=$(postgres_sql wiki "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'snap%' UNION
                SELECT datname FROM pg_database WHERE datname LIKE 'snap%'")
        is "$there" "$(sed -n "s/^\$wgDB[a-z]* *= *[\"']\(snap[^\"']*\)[\"'];/\1/p" \
                "$SITES/www/LocalSettings.php")"
}

need 'MediaWiki 1.39 runs on PostgreSQL' installed
need 'a role without rights is refused, with the statements that give them' refused_and_granted
need 'with these it is adopted' adopted
need 'its own migrator brings it to 1.43' upgraded
check 'the old version is read beside from its own database, which its site cannot write' beside
check 'something is written in between' written_between
need 'rolled back, it is what it was' rolled_back
check 'what was written in between is told' lost
check 'it is written again' writes_again
need 'rolled forward, it is there again' rolled_forward
if [ "$DRIVER" = overlayfs ] || [ -n "${SITESNAP_TEST_ALL:-}" ]; then
        check 'schemas are listed, compared, and watched for drift' schemas
        check 'upgraded again, the oldest is pruned' pruned
        check 'given back, its configuration names the one database that is left' given_back
fi
check 'no password is left in state, logs or configuration' passwords_hidden
tap_done
