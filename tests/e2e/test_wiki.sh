#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A real application: MediaWiki through three of its releases, by its own migrator.
. "$(dirname "$0")/common.sh"

e2e_begin
for version in 1.35 1.39 1.43; do
        mediawiki_fetch $version >/dev/null || tap_skip "MediaWiki $version cannot be fetched"
done

adopted() {
        wiki_install 1.35 "$SITES/www" "$SITES/data" "$PORT" "$OWNER" &&
                PICTURE=$(wiki_picture "$SITES/www") &&
                web_site wiki "$PORT" "$SITES/www" && web_start &&
                ctl site add wiki --home "$SITES/wiki" --owner "$OWNER" --driver "$DRIVER" \
                        --pool "$SITES/pool" --adopt "$SITES/www" --shared images \
                        --database "sqlite:$SITES/data" \
                        --set 'LocalSettings.php php-assign wgSQLiteDataDir {database_dir}' &&
                wiki_verify "$PORT" 1.35 "$PICTURE" && wiki_login "$PORT"
}

upgraded() {
        ctl upgrade wiki --label "$1" -- "$WORLD/bin/upgrade-wiki" "$CACHE/mediawiki-$1" &&
                wiki_verify "$PORT" "$1" "$PICTURE" && wiki_login "$PORT"
}

# Each table that the text of a page is in, away for a moment.
preset_asks_the_database() {
        local file table

        mkdir -p "$WORLD/conf/probes.d" && cp "$(dirname "$0")/../../data/probes.d/mediawiki.conf" \
                "$WORLD/conf/probes.d/" || return 1
        cp "$WORLD/conf/sites.d/wiki.conf" "$WORLD/wiki.conf"
        printf '\n[guard]\npresets = mediawiki\nurl = http://127.0.0.1:%s/\n' "$PORT" \
                >>"$WORLD/conf/sites.d/wiki.conf"
        ctl site check wiki && exits 0 '' ctl site probe wiki || return 1
        file=$SITES/wiki/db/$(ctl list wiki --format csv --no-headers --columns number,database |
                sed -n 's/^3,//p')/wiki.sqlite
        for table in page revision slots content text; do
                sqlite3 -cmd '.timeout 20000' "$file" "ALTER TABLE $table RENAME TO ${table}_away" || return 1
                exits 1 '' ctl site probe wiki >"$WORLD/said"
                sqlite3 -cmd '.timeout 20000' "$file" "ALTER TABLE ${table}_away RENAME TO $table" || return 1
                grep -qE '^content +http +required +bad' "$WORLD/said" ||
                        { echo "without $table:"; cat "$WORLD/said"; return 1; }
        done
        exits 0 '' ctl site probe wiki && cp "$WORLD/wiki.conf" "$WORLD/conf/sites.d/"
}

broken_is_undone() {
        exits 6 '' ctl upgrade wiki --label broken -- \
                "$WORLD/bin/upgrade-wiki" "$CACHE/mediawiki-1.43" broken &&
                wiki_verify "$PORT" 1.43 "$PICTURE" && wiki_login "$PORT"
}

# Release 1.35 writes its parser cache into the database on every view and cannot do without, so
# what it shows where nothing can be written is its API and its uploads; 1.39 shows its pages too.
older_beside() {
        ctl mount wiki 1 && ctl mount wiki 2 && has_state wiki 1 mounted &&
                web_site first "$((PORT + 1))" "$SITES/wiki/versions/1" &&
                web_site second "$((PORT + 2))" "$SITES/wiki/versions/2" && web_start &&
                web_expect "$((PORT + 1))" "/api.php?action=query&meta=siteinfo&format=json" \
                        200 'MediaWiki 1.35' &&
                web_expect "$((PORT + 1))" "/$PICTURE" 200 '' &&
                wiki_verify "$((PORT + 2))" 1.39 "$PICTURE" &&
                wiki_verify "$PORT" 1.43 "$PICTURE" &&
                ctl umount wiki 1 && lacks_state wiki 1 mounted &&
                ! grep -qF "$SITES/wiki/versions/1 " /proc/self/mountinfo
}

# The front page of either release under way while they take turns.
switched_under_load() {
        local list=$WORLD/urls pid i from to result

        from=$(active wiki) to=2
        printf '200 http://127.0.0.1:%s/index.php/Kept_page_%s Kept text %s\n' \
                "$PORT" 1 1 "$PORT" 2 2 "$PORT" 3 3 >"$list"
        "$BUILD/tests/e2e/load" -c 4 -s 'content="MediaWiki ' -l "$SITES/wiki/current" \
                -f stamp.txt "$list" >"$WORLD/load" &
        pid=$!
        for i in $(seq 10); do
                ctl activate wiki "$to" && sleep 0.5 && ctl activate wiki "$from" && sleep 0.5 ||
                        break
        done
        kill -TERM "$pid"
        wait "$pid"
        result=$?
        cat "$WORLD/load"
        return "$result"
}

older_lives_on() {
        ctl activate wiki 2 && wiki_verify "$PORT" 1.39 "$PICTURE" && wiki_login "$PORT" &&
                sqlite3 "$(dirname "$(find "$SITES" "$WORLD" -xdev -name wiki.sqlite | head -1)")"/wiki.sqlite \
                        'PRAGMA integrity_check' | grep -qx ok
}

need 'MediaWiki 1.35 is adopted' adopted
need 'its own migrator brings it to 1.39' upgraded 1.39
need 'and to 1.43' upgraded 1.43
check 'a table that is away is noticed by what the preset asks' preset_asks_the_database
check 'a release without a core class is undone' broken_is_undone
check 'releases 1.35 and 1.39 are read beside 1.43' older_beside
check 'no request fails while releases take turns' switched_under_load && measured "wiki, $DRIVER: $(cat "$WORLD/load")"
check 'an older release goes on working' older_lives_on
tap_done
