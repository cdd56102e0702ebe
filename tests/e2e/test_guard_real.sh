#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# WordPress on MariaDB behind nginx, which keeps pages for a moment as on a busy site, and PHP-FPM.
# Broken releases under visitors are taken back by themselves, a good one is not; what visitors wrote
# to the broken one is told, and so is everything else that a person needs.
#
# Over btrfs with SITESNAP_TEST_ALL=1 only.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/../lib/wordpress.sh"
. "$(dirname "$0")/../lib/database.sh"
. "$(dirname "$0")/../lib/sinks.sh"

[ "$DRIVER" = overlayfs ] || [ -n "${SITESNAP_TEST_ALL:-}" ] ||
        tap_skip 'with SITESNAP_TEST_ALL=1 only'
wordpress_mariadb_needed

RATE=${SITESNAP_TEST_RATE:-60} VISITORS=''
BAD="\$4 == \"bad\"" # to awk, of a line of visitors.py
OLD=6.2 OLD_SCHEMA=53496 NEW=6.5
e2e_begin 2G
trap '[ -z "$VISITORS" ] || kill "$VISITORS"; mariadb_end; leave' EXIT
lib=$(dirname "$(readlink -f "$0")")/../lib
ANSWERS=$WORLD/answers ACCESS=$WORLD/web/log/blog.access PAGES=$WORLD/pages
MAIL=$WORLD/mail HOOK=$WORLD/hook
mariadb_begin "$WORLD/mariadb" || { echo 'Bail out! no MariaDB'; exit 1; }
mariadb_site blog blog
wordpress_releases $OLD $NEW

# One page in twenty is the album.
pages_write() {
        local i

        {
                echo '/ Kept post'
                echo '/album/ Kept album'
                echo '/feed/ Kept post'
                echo '/wp-login.php user_login'
                echo '/wp-content/uploads/kept.txt an upload'
                for i in 1 2 3 4 5; do
                        echo "/kept-post-$i/ Kept text $i"
                        echo "/kept-post-$i/feed/ Kept post $i"
                        echo "/wp-json/wp/v2/posts?slug=kept-post-$i Kept text $i"
                done
        } >"$PAGES"
        is "$(wc -l <"$PAGES")" 20
}

# Pages of a version are kept for ten seconds; those of who is logged in are not, nor are errors.
front_write() {
        local conf=$WEB_DIR/sites/blog.conf

        sed -i -e "1i log_format blog '\$remote_addr - - [\$time_local] \"\$request\" \$status \$body_bytes_sent \"-\" \"\$http_user_agent\" \$request_time'; fastcgi_cache_path $WEB_DIR/tmp/pages keys_zone=pages:1m use_temp_path=off;" \
                -e "s|server_name localhost;|& access_log $ACCESS blog;|" \
                -e "s|fastcgi_pass |fastcgi_cache pages; fastcgi_cache_valid 200 10s; fastcgi_cache_use_stale updating; fastcgi_cache_background_update on; \
fastcgi_cache_key \$request_method\$realpath_root\$request_uri; fastcgi_cache_bypass \$http_cookie; \
fastcgi_no_cache \$http_cookie; &|" "$conf" && web_start
}

installed() {
        pages_write && wordpress_install $OLD "$SITES/www/blog" "$PORT" "$OWNER" blog &&
                wordpress_php "$SITES/www/blog" "$OWNER" '
                        require "wp-load.php";
                        update_option("comment_previously_approved", 0);
                        wp_insert_post(["post_type" => "page", "post_title" => "Album",
                                "post_name" => "album", "post_status" => "publish",
                                "post_content" => "Kept album [gallery]"]);' &&
                web_site blog "$PORT" "$SITES/www/blog" && front_write
}

adopted() {
        wordpress_site_add || return 1
        cp -r "$lib/../../data/probes.d" "$WORLD/conf/" || return 1
        sed -i -e 's/^latency_floor = .*/latency_floor = 100ms/' \
                -e 's/^min_samples = .*/min_samples = 50/' \
                -e "s|^policy = .*|&\npresets = wordpress\nurl = http://127.0.0.1:$PORT/|" \
                "$WORLD/conf/sites.d/blog.conf" &&
                cat >>"$WORLD/conf/sites.d/blog.conf" <<END2

[probe visitors]
kind = accesslog
log = $ACCESS
time = seconds
interval = 1s
END2
        ctl site check blog && wordpress_verify "$PORT" $OLD
}

# Where a table is away WordPress answers 200 and says that nothing was found.
preset_asks_the_database() {
        ctl site probe blog || return 1
        mariadb_sql 'RENAME TABLE blog.wp_posts TO blog.wp_posts_away'
        exits 1 '' ctl site probe blog >"$WORLD/said"
        mariadb_sql 'RENAME TABLE blog.wp_posts_away TO blog.wp_posts'
        grep -qE '^tables +command +required +bad' "$WORLD/said" && grep -qE '^front +http +required +good' "$WORLD/said" ||
                { cat "$WORLD/said"; return 1; }
        ctl site probe blog
}

# conf KEY VALUE: In the site's file, from now on.
conf() {
        sed -i "s/^$1 = .*/$1 = $2/" "$WORLD/conf/sites.d/blog.conf" &&
                grep -qx "$1 = $2" "$WORLD/conf/sites.d/blog.conf"
}

# The new release as it is, then what is wrong with it: each by the way in which such things break.
releases_write() {
        cat >"$WORLD/bin/upgrade-broken" <<'END2'
#!/bin/sh
set -eu
how=$1 tree=$2
"$(dirname "$0")/upgrade-wordpress" "$tree"
breaks() {
        sed -i "s/function $1([^{]*{/& this_function_is_gone();/" "$2"
        grep -q this_function_is_gone "$2"
}
plugin() {
        mkdir -p wp-content/mu-plugins
        { echo '<?php'; cat; } >wp-content/mu-plugins/broken.php
}
case $how in
fatal) # in a function that pages with comments call, and no page that is probed
        breaks comment_form wp-includes/comment-template.php ;;
schema) # the code asks for a column that no migrator has made
        plugin <<'END3'
add_filter('the_content', function ($content) {
        global $wpdb;
        if (!is_singular('post')) return $content;
        $minutes = $wpdb->get_var("SELECT reading_minutes FROM $wpdb->posts LIMIT 1");
        if ($wpdb->last_error) throw new RuntimeException($wpdb->last_error);
        return $content . $minutes;
});
END3
        ;;
page) # one page in twenty has a gallery
        breaks gallery_shortcode wp-includes/media.php ;;
slow) # each page takes ten times its own time, or 3 s more where the machine is slow itself
        plugin <<'END3'
register_shutdown_function(function () {
        usleep((int)min(3e6, 9e6 * (microtime(true) - $_SERVER['REQUEST_TIME_FLOAT'])));
});
END3
        ;;
esac
END2
        chmod 755 "$WORLD/bin/upgrade-broken"
}

prepared() {
        installed && adopted && person_there "$MAIL" "$HOOK" && releases_write
}

# What is allowed depends on how well it is known what was normal: 1100 answers are enough for 1 %.
visited() {
        python3 "$lib/visitors.py" "$PORT" "$ANSWERS" "$RATE" 127.0.0.1 "$PAGES" &
        VISITORS=$!
        # The first look at the file takes at most ten seconds.
        state_becomes none 60 && ! grep ' bad ' "$ANSWERS" || return 1
        for _ in $(seq 120); do
                sleep 0.5
                [ "$(good_answers)" -lt 1100 ] || return 0
        done
        tail -n 3 "$ANSWERS"
        ctl probe blog
        return 1
}

# How many good answers to visitors the guard knows of.
good_answers() {
        curl -s --unix-socket "$WORLD/run/snapd.sock" http://localhost/v1/metrics |
                awk '/^sitesnap_probe_answers_total.*visitors.*good/ {print $2; found = 1} END {if (!found) print 0}'
}

guard_state() {
        ctl site show blog --json | sed -n 's/.*"guard_state": *"\([a-z-]*\)".*/\1/p'
}

# state_becomes STATES SECONDS: The guard's state is one of these within so many seconds.
state_becomes() {
        local wanted=" $1 " until=$((SECONDS + $2)) now

        while [ "$SECONDS" -le "$until" ]; do
                now=$(guard_state)
                case $wanted in *" $now "*) return 0 ;; esac
                sleep 0.2
        done
        echo "after $2 s the state is '$now', not '$1'"
        tail -n 3 "$ANSWERS"
        ctl status blog
        return 1
}

# author SLUG: A visitor writes a comment; the author, who is logged in, a post and a file.
author() {
        python3 - "$PORT" "$WORDPRESS_PASSWORD" "$1" <<'END2'
import http.client, sys, threading, urllib.parse, xmlrpc.client
port, password, slug = sys.argv[1:]
base = 'http://127.0.0.1:%s/' % port
done = []
def comment():
    # Who writes twice within 15 s is refused, by his address too.
    source = '127.0.0.%d' % (2 + sum(slug.encode()) % 250)
    visitor = http.client.HTTPConnection('127.0.0.1', int(port), 60, source_address=(source, 0))
    visitor.request('POST', '/wp-comments-post.php', urllib.parse.urlencode({
        'comment': 'Comment of ' + slug, 'author': slug, 'email': slug + '@example.org',
        'comment_post_ID': 1}), {'Content-Type': 'application/x-www-form-urlencoded'})
    answer = visitor.getresponse()
    assert answer.status == 302, (answer.status, answer.read())
    done.append('comment')
def write():
    blog = xmlrpc.client.ServerProxy(base + 'xmlrpc.php')
    blog.wp.newPost(1, 'admin', password, {'post_title': slug, 'post_name': slug,
                    'post_content': 'Text of ' + slug, 'post_status': 'publish'})
    done.append('post')
def upload():
    blog = xmlrpc.client.ServerProxy(base + 'xmlrpc.php')
    blog.wp.uploadFile(1, 'admin', password, {'name': slug + '.txt', 'type': 'text/plain',
                       'bits': xmlrpc.client.Binary(('File of ' + slug).encode())})
    done.append('file')
threads = [threading.Thread(target=what) for what in (comment, write, upload)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(len(done) != 3)
END2
}

# The database that the files of the served version name is that of its row in the catalog.
served_database() {
        local named

        named=$(sed -n "s/^define( *'DB_NAME', *'\(.*\)' *);/\1/p" "$SITES/blog/current/wp-config.php")
        is "$named" "$(ctl show blog "$(active blog)" --json |
                python3 -c 'import json, sys; print(json.load(sys.stdin)["database"])')" >&2 &&
                echo "$named"
}

# one_version BEFORE AFTER: Old files, old schema; what was written before the upgrade is there,
# what was written to the new version is not.
one_version() {
        local database

        wordpress_verify "$PORT" $OLD && grep -q "^$OLD" "$SITES/blog/current/stamp.txt" &&
                grep -q "wp_version = '$OLD" "$SITES/blog/current/wp-includes/version.php" &&
                [ ! -e "$SITES/blog/current/wp-content/mu-plugins/broken.php" ] || return 1
        database=$(served_database) &&
                is "$(mariadb_sql "SELECT option_value FROM $database.wp_options WHERE option_name = 'db_version'")" \
                        "$OLD_SCHEMA" &&
                is "$(mariadb_sql "SELECT GROUP_CONCAT(comment_author) FROM $database.wp_comments
                        WHERE comment_author IN ('$1', '$2')")" "$1" &&
                web_expect "$PORT" "/$1/" 200 "Text of $1" && web_expect "$PORT" "/$2/" 404 '' &&
                web_expect "$PORT" "/wp-json/wp/v2/posts?slug=$2" 200 '[]'
}

# times SINCE BAD: What visitors saw since then; BAD is what awk calls a bad answer.  Answers are
# written down when they end, in no order of their beginnings; a visitor may have had none yet.
times() {
        local decided=0 served=0

        for _ in $(seq 100); do
                # shellcheck disable=SC2046
                set -- "$1" "$2" $(rollback_times "$1")
                [ $# -eq 4 ] || break
                decided=$3 served=$4
                awk -v decided="$decided" -v old="$OLD" '
                        $1 >= decided && $4 == "ok" && index($5, old) == 1 { found = 1; exit }
                        END { exit !found }' "$ANSWERS" && [ "$served" != 0.0 ] && break
                sleep 0.1
        done
        awk -v since="$1" -v decided="$decided" -v served="$served" -v old="$OLD" '
                $1 < since { next }
                { n++; if ($1 > end) end = $1 }
                '"$2"' { if (!bad++ || $1 < first) first = $1; if ($1 > last) last = $1 }
                $1 >= decided && $4 == "ok" && index($5, old) == 1 && (!back || $1 < back) { back = $1 }
                END {
                        rate = end > since ? n / (end - since) : 0
                        if (!bad) { printf "no bad answer of %d, %.0f/s\n", n, rate; exit }
                        printf "%.1f s from the first bad answer to the last (%d of %d, %.0f/s)",
                                last - first, bad, n, rate
                        if (!decided) { print ", by the upgrade itself"; exit }
                        printf "; from the sample that broke the rule %.2f s until the old version was "\
                                "served and %.2f s until a visitor had its first good answer\n",
                                served - decided, back - decided
                }' "$ANSWERS"
}

# broken HOW SECONDS [BAD]: A release that is broken in this way is taken back, and is $BROKEN.
broken() {
        local how=$1 seconds=$2 bad=${3:-$BAD} since prior status

        author "before-$how" || return 1
        prior=$(active blog)
        since=$(date +%s.%N)
        ctl upgrade blog -q --staged --label "$NEW-$how" -- "$WORLD/bin/upgrade-broken" "$how" \
                "$WORLD/wordpress-$NEW"
        status=$?
        if [ "$status" -eq 0 ]; then
                # What visitors see while WordPress replaces its files is not the guard's.
                since=$(sqlite3 "file:$WORLD/state/state.db?mode=ro" "SELECT max(served, ended) / 1e6
                        FROM ops WHERE verb = 'upgrade' ORDER BY id DESC LIMIT 1")
                author "after-$how" && state_becomes 'verifying rolled-back' "$seconds" || return 1
                sleep 1
        elif [ "$status" -ne 6 ]; then
                return 1
        fi
        times "$since" "$bad" >"$WORLD/took"
        BROKEN=$(newest)
        is "$(active blog)" "$prior" && has_state blog "$BROKEN" bad &&
                one_version "before-$how" "after-$how"
}

# What awk calls slower than three times what 19 of 20 answers took until now.
slower() {
        awk '$4 == "ok" {print $3}' "$ANSWERS" | sort -n |
                awk '{t[NR] = $1} END {print "$3 > " 3 * t[int(NR * 0.95)] + 1}'
}

newest() {
        versions blog | awk '$1 > n {n = $1} END {print n}'
}

# Not tried again by itself or by mistake, until somebody says so.
refused_until_lifted() {
        exits 4 "was taken back here as version $BROKEN" ctl upgrade blog --label "$NEW-$1" -- \
                /bin/true &&
                ctl mark blog "$BROKEN" none --reason 'looked into' &&
                ctl upgrade blog --dry-run --label "$NEW-$1" -- /bin/true
}

# shown TEXT: The version and the operation that took it back tell the cause, and what was seen.
shown() {
        local op

        ctl show blog "$BROKEN" >"$WORLD/shown" && cat "$WORLD/shown" &&
                grep -q "Cause: probe 'visitors': .* failed" "$WORLD/shown" &&
                grep -q "$1" "$WORLD/shown" || return 1
        op=$(ctl ops blog --json | python3 -c '
import json, sys
print(next(op["id"] for op in json.load(sys.stdin)["operations"]
           if op["verb"] == "rollback" and op["by"] == "snapd"))') || return 1
        ctl ops show "$op" | tee "$WORLD/op" && grep -q "$1" "$WORLD/op" &&
                ctl ops show "$op" --json >"$WORLD/op.json" && python3 - "$WORLD/op.json" <<'END2'
import json, sys
cause = json.load(open(sys.argv[1]))["cause"]
assert cause["by"] == "guard" and cause["probe"] == "visitors" and cause["rule"] == "errors", cause
assert cause["answers"] > cause["bad"] > 0 and cause["before"] < cause["allowed"] < 0.2, cause
assert sum(s["bad"] for s in cause["samples"]) >= cause["bad"], cause
END2
}

# What visitors wrote to the broken version: all of it, to be looked at and taken over.
lost() {
        local prior

        prior=$(active blog)
        rm -f "$WORLD/lost.sql"
        ctl lost-writes blog "$prior" "$BROKEN" &&
                ctl lost-writes blog "$prior" "$BROKEN" --sql "$WORLD/lost.sql" --json >"$WORLD/lost" &&
                python3 - "$WORLD/lost" "after-$1" <<'END2' || return 1
import json, sys
lost = json.load(open(sys.argv[1]))
tables = {t["table"]: t for t in lost["tables"]}
assert tables["wp_posts"]["inserted"] >= 2, tables  # the post and the file's row
assert tables["wp_comments"]["inserted"] == 1, tables
paths = lost["uploads"]["paths"]
assert any(path.endswith('/%s.txt' % sys.argv[2]) for path in paths), paths
assert not any('before' in path for path in paths), paths
END2
        grep -q "INSERT INTO \`wp_comments\` .*'Comment of after-$1'" "$WORLD/lost.sql" &&
                grep -q "INSERT INTO \`wp_posts\` .*'Text of after-$1'" "$WORLD/lost.sql" &&
                ! grep -q "before-$1" "$WORLD/lost.sql"
}

# The person who was asleep reads what happened, why, what is safe, where the log is, what to run.
person_knows() {
        local mail prior op

        prior=$(active blog)
        op=$(sqlite3 "file:$WORLD/state/state.db?mode=ro" \
                "SELECT max(id) FROM ops WHERE verb = 'rollback'")
        mail=$(mail_with "$MAIL" "blog: version $BROKEN was taken back, version $prior is served again") ||
                return 1
        says "$mail" "Version $BROKEN of 'blog'" "$NEW-$1" "probe 'visitors'" "failed" \
                "Version $prior is served again" 'its own database' "snapctl ops show $op" \
                "snapctl show blog $BROKEN" "snapctl lost-writes blog $prior $BROKEN" \
                'a visitor got status 500' || return 1
        grep -q '^To: a@example.org' "$mail" && grep -qx 'login me' "${mail%.eml}.how" &&
                python3 - "$HOOK" "$prior" "$BROKEN" "$op" <<'END2'
import glob, json, sys, time
hook, prior, broken, op = sys.argv[1], *map(int, sys.argv[2:])
found = []
for _ in range(50):
    found = [n for path in glob.glob(hook + '/*.json') for n in json.load(open(path))['notices']
             if n['phase'] == 'rolled-back' and n['to'] == broken]
    if found:
        break
    time.sleep(0.2)
assert len(found) == 1, found
notice, = found
assert notice['site'] == 'blog' and notice['from'] == prior and notice['operation'] == op, notice
assert "probe 'visitors'" in notice['why'] and notice['label'].startswith('6.5-'), notice
assert 'served again' in notice['safe'] and notice['log'].endswith('ops show %d' % op), notice
assert any('lost-writes blog %d %d' % (prior, broken) in c for c in notice['next']), notice
assert any('status 500' in line for line in notice['evidence']['bad answers']), notice
END2
}

a_good_release_stays() {
        local since

        conf probation 15s || return 1
        since=$(date +%s.%N)
        ctl upgrade blog -q --staged --label "$NEW" -- "$WORLD/bin/upgrade-wordpress" "$WORLD/wordpress-$NEW" &&
                state_becomes probation 5 && ctl status blog | grep -q 'On probation: version' &&
                author after-good && state_becomes good 60 && has_state blog "$(active blog)" good &&
                wordpress_verify "$PORT" $NEW && web_expect "$PORT" /after-good/ 200 'Text of after-good' ||
                return 1
        times "$since" "$BAD" >"$WORLD/took"
        grep -q '^no bad answer' "$WORLD/took" || { cat "$WORLD/took"; return 1; }
}

# What is well for all of its probation and broken later, by a file that somebody puts there.
broken_later() {
        local since good

        good=$(active blog)
        conf after rollback || return 1
        mkdir -p "$SITES/blog/current/wp-content/mu-plugins"
        echo '<?php add_action("template_redirect", "this_function_is_gone");' \
                >"$SITES/blog/current/wp-content/mu-plugins/broken.php"
        # What nginx keeps would hide it until it is asked for again.
        find "$WEB_DIR/tmp/pages" -type f -delete
        since=$(date +%s.%N)
        state_becomes 'verifying rolled-back' 60 || return 1
        sleep 1
        times "$since" "$BAD" >"$WORLD/took"
        has_state blog "$good" bad && lacks_state blog "$good" active &&
                one_version before-fatal after-good
}

measure() {
        measured "$1, $DRIVER: $(cat "$WORLD/took" 2>/dev/null)"
        rm -f "$WORLD/took"
}

need 'WordPress on MariaDB, with the probes that its preset has' prepared
check 'a table that is away is noticed by what the preset asks' preset_asks_the_database
need 'it is visited and well' visited
check 'a fatal error in a file is taken back, with its database' broken fatal 60
measure 'fatal error'
check 'its cause and what was seen are shown' shown 'a visitor got status 500'
check 'what was written to it is told' lost fatal
check 'mail and webhook tell what a person needs' person_knows fatal
check 'the old version is looked at and well again' state_becomes rolled-back 40
check 'it is refused until somebody lifts that' refused_until_lifted fatal
check 'a broken schema is taken back' broken schema 60
measure 'broken schema'
check 'one page in twenty is taken back' broken page 120
measure 'one page in twenty'
check 'ten times slower is taken back' broken slow 120 "$(slower)"
measure 'ten times slower'
check 'a good release stays and is marked' a_good_release_stays
measure 'good release'
check 'broken after its probation it is taken back where the site says so' broken_later
measure 'broken later'
tap_done
