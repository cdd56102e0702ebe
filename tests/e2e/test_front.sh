#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Who sees which version on the site's own address: links, testers' addresses, ?keep_version=N, and
# temporary rollbacks, by the lines that web-config prints for nginx and for Apache.  Nothing of the
# web server is reloaded once it runs.
. "$(dirname "$0")/common.sh"

e2e_begin

printed() {
        ctl web-config app "$1" | sed "s,/run/php/php-fpm.sock,$WEB_DIR/php.sock,"
}

prepared() {
        app_add app && ctl upgrade app --label two -- "$WORLD/bin/upgrade-app" two &&
                ctl mark app 1 good && sed -i 's/^;*#* *keep_version = .*/keep_version = yes/; s/^;*#* *retry = .*/retry = 90s/' \
                        "$WORLD/conf/sites.d/app.conf" && ctl site check app &&
                echo '<?php echo "cron";' >"$SITES/app/current/wp-cron.php"
}

nginx_serves() {
        {
                echo "server {"
                echo "        listen 127.0.0.1:$PORT;"
                echo "        index index.php;"
                printed nginx
                echo "}"
        } >"$WEB_DIR/sites/app.conf"
        web_start && sleep 1 && app_expect "$PORT" two
}

apache_serves() {
        APACHE_PORT=${APACHE_PORT:-$(port_free)}
        web_apache "$APACHE_PORT" "$OWNER" < <(printed apache) || return 1
        app_expect "$APACHE_PORT" two || { cat "$WEB_DIR/apache/log"; return 1; }
}

# ask PORT PATH [CURL ARGUMENT...]: The status in STATUS, the headers and the body in files.
ask() {
        local port=$1 path=$2

        shift 2
        STATUS=$(curl -s -m 20 -D "$WORLD/headers" -o "$WORLD/body" -w '%{http_code}' "$@" \
                "http://127.0.0.1:$port$path")
}

# sees PORT VERSION PATH [CURL ARGUMENT...]
sees() {
        local port=$1 version=$2 path=$3

        shift 3
        ask "$port" "$path" "$@"
        [ "$STATUS" = 200 ] && grep -q "^code=$version code=$version code=$version code=$version " \
                "$WORLD/body" && return 0
        echo "GET $path $*: $STATUS, $(head -c 300 "$WORLD/body"); wanted $version"
        return 1
}

header() {
        grep -qiE "^$1" "$WORLD/headers" || { cat "$WORLD/headers"; return 1; }
}

no_header() {
        ! grep -qiE "^$1" "$WORLD/headers" || { cat "$WORLD/headers"; return 1; }
}

# gone PORT PATH [CURL ARGUMENT...]: Who asks for a version that is not there is told so, once: the
# cookies that asked are taken away.
gone() {
        ask "$@"
        is "$STATUS" 410 && header 'cache-control: no-store' &&
                header 'set-cookie: sitesnap_link=; .*max-age=0' &&
                header 'set-cookie: sitesnap_version=; .*max-age=0' && grep -q 'any more' "$WORLD/body"
}

links_lead() {
        local link

        link=$(ctl link app 1 -q) && sees "$1" one "$link" && header 'set-cookie: sitesnap_link=' &&
                header 'x-robots-tag: noindex' &&
                sees "$1" one / -H "Cookie: a=b; sitesnap_link=${link##*=}" &&
                sees "$1" two / && no_header 'x-robots-tag' && no_header 'set-cookie' &&
                gone "$1" "/?sitesnap_link=../../../etc" && sees "$1" two '/?sitesnap_link=' &&
                gone "$1" "/?sitesnap_link=$(printf '0%.0s' $(seq 32))" &&
                sees "$1" one "$link" -H 'Cookie: sitesnap_version=root' &&
                header 'set-cookie: sitesnap_version=; .*max-age=0' &&
                ctl unlink app "${link##*=}" && gone "$1" "$link" &&
                gone "$1" / -H "Cookie: sitesnap_link=${link##*=}"
}

# seconds_now: With a fraction.
seconds_now() {
        date +%s.%N
}

# A link of $2 seconds is seen before its end and at no time later than a second after it.
# 2: the machine was too slow to see it before.
link_of() {
        local port=$1 length=$2 link made seen='' asked

        made=$(seconds_now)
        link=$(ctl link app 1 --for "${length}s" -q) || return 1
        set -- "$(awk -v from="$made" -v n="$length" 'BEGIN {printf "%.3f", from + n}')" \
                "$(awk -v from="$(seconds_now)" -v n="$length" 'BEGIN {printf "%.3f", from + n + 1}')"
        while :; do
                asked=$(seconds_now)
                ask "$port" "$link"
                if [ "$STATUS" = 200 ]; then
                        seen=1
                        grep -q '^code=one ' "$WORLD/body" || return 1
                        awk -v asked="$asked" -v late="$2" 'BEGIN {exit asked <= late}' &&
                                { echo "seen at $asked, after $2"; return 1; }
                else
                        awk -v now="$(seconds_now)" -v end="$1" 'BEGIN {exit now >= end}' &&
                                { echo "$STATUS before $1"; return 1; }
                        break
                fi
                sleep 0.1
        done
        gone "$port" "$link" && [ ! -e "$SITES/app/front/link/${link##*=}" ] || return 1
        [ -n "$seen" ] || return 2
}

links_end() {
        local length result

        for length in 2 4 8 16; do
                link_of "$1" "$length"
                result=$?
                [ "$result" -eq 2 ] || return "$result"
        done
        return 1
}

# What cannot be removed at its time is removed later.
link_stuck() {
        local link path

        link=$(ctl link app 1 --for 2s -q) || return 1
        path=$SITES/app/front/link/${link##*=}
        chattr +i "$SITES/app/front/link" || return 1
        sleep 4
        [ -L "$path" ] || { echo 'it could be removed'; chattr -i "$SITES/app/front/link"; return 1; }
        chattr -i "$SITES/app/front/link"
        for _ in $(seq 100); do
                [ -L "$path" ] || return 0
                sleep 0.2
        done
        return 1
}

links_are_not_listed() {
        local said

        ctl link app 1 -q >/dev/null
        said=$(setpriv --reuid "$OWNER" --regid "$OWNER" --clear-groups ls "$SITES/app/front/link" 2>&1)
        case $said in
        *'Permission denied'*) ;;
        *) echo "$said"; return 1 ;;
        esac
        ctl links app --format json | grep -q '"kind": *"link"'
}

testers_see() {
        ctl link app 1 --from 127.0.0.2 && sees "$1" one / --interface 127.0.0.2 &&
                sees "$1" two / && ctl unlink app 127.0.0.2 &&
                sees "$1" two / --interface 127.0.0.2
}

keeps_versions() {
        sees "$1" one '/?keep_version=1' && header 'set-cookie: sitesnap_version=1' &&
                sees "$1" one / -H 'Cookie: sitesnap_version=1' &&
                sees "$1" two '/?keep_root_version=1' -H 'Cookie: sitesnap_version=1' &&
                gone "$1" '/?keep_version=99' && gone "$1" '/?keep_version=..' &&
                gone "$1" / -H 'Cookie: sitesnap_version=99' && sees "$1" two '/?keep_version=' &&
                sees "$1" two '/?keep_root_version=1' -H 'Cookie: sitesnap_version=99' &&
                sees "$1" two '/?keep_version=2' && no_header 'x-robots-tag'
}

# The live version is never taken for one that is not shown; what leads there leads there again when
# it is.
unmounted_is_said() {
        local link

        link=$(ctl link app 1 -q) && ctl link app 1 --from 127.0.0.2 && ctl umount app 1 &&
                gone "$1" "$link" && gone "$1" / -H "Cookie: sitesnap_link=${link##*=}" &&
                gone "$1" / --interface 127.0.0.2 && gone "$1" '/?keep_version=1' &&
                gone "$1" / -H 'Cookie: sitesnap_version=1' && sees "$1" two / &&
                is "$(ctl links app --format json | grep -c '"shown": *false')" 2 &&
                ctl mount app 1 && sees "$1" one "$link" &&
                sees "$1" one / --interface 127.0.0.2 && ctl unlink app "${link##*=}" &&
                ctl unlink app 127.0.0.2 && sees "$1" two / --interface 127.0.0.2
}

other_versions_run_no_cron() {
        ctl upgrade app --label three -- "$WORLD/bin/upgrade-app" three && ctl mark app 2 good &&
                ask "$1" '/wp-cron.php?keep_version=2' && is "$STATUS" 403 &&
                ask "$1" /wp-cron.php && is "$STATUS" 200 && ctl rollback app && sees "$1" two / &&
                ctl mount app 1
}

read_only() {
        local before

        before=$(active app)
        ctl activate app 1 --temporary --read-only --reason 'looking into it' &&
                sees "$1" one / && ask "$1" / -X POST -d a=b && is "$STATUS" 503 &&
                header 'retry-after: 90' || return 1
        ctl upgrade app -- "$WORLD/bin/upgrade-app" four
        is $? 4 && ctl status app --format json | grep -q '"mode": *"read-only"' &&
                ctl prune app "$before" -y
        is $? 4 || return 1
        setpriv --reuid "$OWNER" --regid "$OWNER" --clear-groups \
                sqlite3 "$SITES"/app/db/snap*_app/app.sqlite 'INSERT INTO notes (text) VALUES (1)' &&
                { echo 'the database can be written'; return 1; }
        ctl forward app && sees "$1" two / && ask "$1" / -X POST -d a=b && is "$STATUS" 200 &&
                is "$(active app)" "$before" && [ ! -e "$SITES/app/front/read-only" ]
}

ends_by_itself() {
        ctl activate app 1 --temporary --until 2s && sees "$1" one / && is "$(active app)" 1 ||
                return 1
        for _ in $(seq 80); do
                [ "$(active app)" = 2 ] && break
                sleep 0.1
        done
        sees "$1" two / && is "$(ctl status app --format json | grep -c '"mode"')" 0
}

# What was found out meanwhile counts: nobody is given a bad version because a time is over.
bad_meanwhile() {
        ctl activate app 1 --temporary --until 3s && ctl mark app 2 bad --reason 'it loses orders' ||
                return 1
        exits 4 'loses orders' ctl forward app && is "$(active app)" 1 || return 1
        for _ in $(seq 100); do
                grep -q "temporary rollback of 'app' is over and goes on" "$WORLD/log/snapd.log" && break
                sleep 0.1
        done
        sleep 1
        is "$(grep -c "temporary rollback of 'app' is over and goes on" "$WORLD/log/snapd.log")" 1 &&
                is "$(active app)" 1 && sees "$PORT" one / &&
                ctl status app --format json | grep -q '"mode": *"open"' &&
                ctl mark app 2 none --reason 'it does not' && ctl forward app && sees "$PORT" two /
}

# answers VERDICT: How many answers of this verdict were counted of the site.
answers() {
        curl -s --unix-socket "$WORLD/run/snapd.sock" http://localhost/v1/metrics |
                sed -n "s/^sitesnap_probe_answers_total{.*verdict=\"$1\".*} //p"
}

# The prober knows that the 503 is ours.
closed_is_no_failure() {
        local bad

        printf '\n[probe page]\nurl = http://127.0.0.1:%s/\ninterval = 200ms\n' "$PORT" \
                >>"$WORLD/conf/sites.d/app.conf"
        ctl site check app || return 1
        for _ in $(seq 200); do
                [ "$(answers good)" -gt 3 ] 2>/dev/null && break
                sleep 0.1
        done
        [ "$(answers good)" -gt 3 ] && ctl activate app 1 --temporary --closed && sleep 1 || return 1
        bad=$(answers bad)
        sleep 2
        is "$(answers bad)" "$bad" && [ "$(answers unknown)" -gt 5 ] && ctl forward app
}

# A session that began on version 2 stays there to look; what it sends goes to the live version, and
# the session with it.
sessions_stay() {
        local port=$1 now

        sees "$port" two / && header 'set-cookie: sitesnap_session=2; .*max-age=3600' &&
                sees "$port" two / -H 'Cookie: a=b; sitesnap_session=2' && no_header 'set-cookie' &&
                ctl upgrade app --label "$2" -- "$WORLD/bin/upgrade-app" "$2" || return 1
        now=$(active app)
        sleep 3 # until PHP has looked at the files again
        sees "$port" two / -H 'Cookie: sitesnap_session=2' && no_header 'set-cookie' &&
                header 'x-robots-tag: noindex' && sees "$port" "$2" / &&
                header "set-cookie: sitesnap_session=$now; " &&
                sees "$port" "$2" / -H 'Cookie: sitesnap_session=2' -X POST -d a=b &&
                header "set-cookie: sitesnap_session=$now; " &&
                ask "$port" /wp-cron.php -H 'Cookie: sitesnap_session=2' && is "$STATUS" 403 &&
                sees "$port" "$2" / -H 'Cookie: sitesnap_session=../..' &&
                sees "$port" "$2" / -H 'Cookie: sitesnap_session=1' || return 1
        # Nobody stays on what a rollback leaves.
        ctl activate app 2 && sees "$port" two / -H "Cookie: sitesnap_session=$now" &&
                header 'set-cookie: sitesnap_session=2; ' &&
                ctl activate app 1 --temporary --closed &&
                ask "$port" / -H 'Cookie: sitesnap_session=2' && is "$STATUS" 503 && ctl forward app
}

# One visitor asks while it is upgraded and rolled back, with the cookies he is given: he changes
# over once each time, and in an upgrade only by what he sends.
sessions_never_turn() {
        local port=$1 jar=$WORLD/jar.$1 pid

        rm -f "$jar"
        sees "$port" two / -c "$jar" || return 1
        (
                while [ ! -e "$WORLD/enough" ]; do
                        curl -s -m 20 -b "$jar" -c "$jar" "http://127.0.0.1:$port/" | cut -d' ' -f1
                done | uniq
        ) >"$WORLD/turns" &
        pid=$!
        ctl upgrade app --label "$2" -- "$WORLD/bin/upgrade-app" "$2" && sleep 3
        touch "$WORLD/enough" && wait "$pid"
        rm "$WORLD/enough"
        is "$(cat "$WORLD/turns")" code=two || return 1
        ask "$port" / -b "$jar" -c "$jar" -X POST -d a=b && sees "$port" "$2" / -b "$jar" -c "$jar" &&
                ctl activate app 2 && sees "$port" two / -b "$jar" -c "$jar" &&
                ctl activate app "$(versions app | awk '{n = $1} END {print n}')" &&
                sees "$port" two / -b "$jar" -c "$jar" && ctl activate app 2
}

sticky_served() {
        sed -i 's/^;*#* *sticky = .*/sticky = 1h/' "$WORLD/conf/sites.d/app.conf" &&
                grep -q '^sticky = 1h' "$WORLD/conf/sites.d/app.conf" && ctl site check app &&
                ctl activate app 1 && ctl activate app 2 && nginx_serves || return 1
        [ -z "$WEB_APACHE" ] || { kill "$WEB_APACHE" && wait "$WEB_APACHE"; apache_serves; }
}

# What an earlier file allowed does not outlast the next switch.
nobody_stays() {
        [ -e "$SITES/app/front/stay/2" ] || return 1
        sed -i 's/^sticky = .*/sticky = 0/' "$WORLD/conf/sites.d/app.conf" &&
                ctl activate app 1 && ctl activate app 2 && [ ! -e "$SITES/app/front/stay" ]
}

# What only the site's file says is told while an upgrade goes on, and status knows what visitors get.
asked_while_upgraded() {
        local id

        id=$(ctl --no-wait --json upgrade app --staged -- /bin/sleep 60 |
                python3 -c 'import json, sys; print(json.load(sys.stdin)["operation"])') || return 1
        for _ in $(seq 100); do
                [ ! -e "$SITES/app/front/read-only" ] || break
                sleep 0.1
        done
        TAKEN_BACK=$(ctl ops show "$id" --json | sed -n 's/.*"version": *\([0-9]*\).*/\1/p' | head -n 1)
        for _ in $(seq 100); do
                [ ! -d "$SITES/app/versions/$TAKEN_BACK/parts" ] || break
                sleep 0.1
        done
        (cd "$SITES/app/versions/$TAKEN_BACK/parts" && exec sleep 600) &
        STAYER=$!
        stays_in "$STAYER" "$SITES/app/versions/$TAKEN_BACK/parts" || return 1
        exits 3 'is going on' ctl forward app || return 1
        ctl web-config app nginx | grep -q '^root ' && ctl check app && return 1
        ctl status app | grep "^UPGRADE: visitors get version 2 (read-only) until operation $id " &&
                ctl ops abort "$id" || return 1
        for _ in $(seq 100); do
                ! ctl check app >/dev/null || break
                sleep 0.1
        done
        is "$(active app)" 2 && sees "$PORT" two /
}

# Who is in what an upgrade took back keeps it no longer than until the next operation, whatever
# becomes of that one.
swept() {
        [ -e "$SITES/app/versions/$TAKEN_BACK/parts" ] || { echo 'nobody was in it'; return 1; }
        kill "$STAYER"
        exits 1 'none of ours' ctl import app "$WORLD/bin/upgrade-app" || return 1
        for _ in $(seq 50); do
                [ -e "$SITES/app/versions/$TAKEN_BACK" ] || break
                sleep 0.1
        done
        [ ! -e "$SITES/app/versions/$TAKEN_BACK" ] &&
                is "$(find "$SITES/pool/app/trees" -mindepth 1 | wc -l)" "$(versions app | wc -l)"
}

# Killed between what is seen and what is written: after the start both say that there is no link.
killed_at_a_link() {
        local place

        for place in before after; do
                daemon_stop
                SITESNAP_FAULT=kill@passes:$place daemon_start || return 1
                ctl link app 1 --from 127.0.0.3 && { echo 'it was not killed'; return 1; }
                daemon_end KILL
                [ -e "$SITES/app/front/from/127.0.0.3" ] || { echo 'it was killed too early'; return 1; }
                daemon_start || return 1
                [ "$place" = before ] || ctl unlink app 127.0.0.3 || return 1
                sees "$PORT" two / --interface 127.0.0.3 || return 1
        done
        ctl link app 1 --from 127.0.0.3 && daemon_stop &&
                SITESNAP_FAULT=kill@passes:before daemon_start || return 1
        ctl unlink app 127.0.0.3 && { echo 'it was not killed'; return 1; }
        daemon_end KILL
        daemon_start && sees "$PORT" one / --interface 127.0.0.3 && ctl unlink app 127.0.0.3
}

closed() {
        local link

        link=$(ctl link app 2 -q) && ctl activate app 1 --temporary --closed && ask "$1" / &&
                is "$STATUS" 503 && header 'retry-after: 90' && is "$(active app)" 2 &&
                sees "$1" two "$link" && ctl forward app && sees "$1" two /
}

# The command asks the site itself, as a visitor would.
closed_while_upgraded() {
        local before

        before=$(active app)
        cat >"$WORLD/bin/upgrade-and-ask" <<END
#!/bin/sh
curl -s -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:$1/ >$WEB_DIR/tmp/asked
exec $WORLD/bin/upgrade-app "\$@"
END
        chmod 755 "$WORLD/bin/upgrade-and-ask"
        ctl upgrade app --closed --label four -- "$WORLD/bin/upgrade-and-ask" four &&
                is "$(cat "$WEB_DIR/tmp/asked")" 503 && sees "$1" four / || return 1
        ctl upgrade app --closed -- "$WORLD/bin/upgrade-and-ask" five fail
        is $? 6 && is "$(cat "$WEB_DIR/tmp/asked")" 503 && sees "$1" four / &&
                ctl activate app "$before" && sees "$1" two /
}

# Closed from the first step on, with the old version behind.
closed_and_staged() {
        local before

        before=$(active app)
        ctl upgrade app --closed --staged --label nine -- "$WORLD/bin/upgrade-and-ask" nine &&
                is "$(cat "$WEB_DIR/tmp/asked")" 503 && sees "$PORT" nine / &&
                ctl activate app "$before" && sees "$PORT" two /
}

# Visitors read the version they had, whole, while the command is half through with the new one.
staged() {
        local before pid asked=$WEB_DIR/tmp/asked

        before=$(active app)
        cat >"$WORLD/bin/upgrade-and-look" <<END
#!/bin/sh
$WORLD/bin/upgrade-app "\$@"
status=\$?
curl -s http://127.0.0.1:$1/ >$asked
curl -s -o /dev/null -w '%{http_code}' -d a=b http://127.0.0.1:$1/ >$asked.post
for _ in \$(seq 100); do
        [ ! -e $asked.go ] || break
        sleep 0.1
done
exit \$status
END
        chmod 755 "$WORLD/bin/upgrade-and-look"
        touch "$asked.go"
        ctl upgrade app --staged -n -- "$WORLD/bin/upgrade-and-look" six | tee "$WORLD/planned" &&
                grep -q 'read-only' "$WORLD/planned" && is "$(active app)" "$before" || return 1
        ctl upgrade app --staged -- "$WORLD/bin/upgrade-and-look" seven fail
        is $? 6 && was_old "$asked" && sees "$1" two / && is "$(active app)" "$before" &&
                ask "$1" / -d a=b && is "$STATUS" 200 || return 1
        rm "$asked.go"
        listed_while_staged "$before" "$asked.go" &
        pid=$!
        ctl upgrade app --staged --label eight -- "$WORLD/bin/upgrade-and-look" eight &&
                wait "$pid" && was_old "$asked" && sees "$1" eight / &&
                ! versions app | grep -E 'staged|served' && ask "$1" / -d a=b && is "$STATUS" 200 &&
                ctl activate app "$before" && sees "$1" two /
}

# The list does not say that visitors are served by what they do not get.
listed_while_staged() {
        for _ in $(seq 150); do
                versions app | grep -q ' active,staged,' && has_state app "$1" served &&
                        touch "$2" && return 0
                sleep 0.1
        done
        return 1
}

was_old() {
        grep -q '^code=two code=two code=two code=two ' "$1" && is "$(cat "$1.post")" 503 && return 0
        head -c 300 "$1"
        return 1
}

redirects() {
        ctl activate app 1 --temporary --redirect 307 && ask "$1" '/?a=b' && is "$STATUS" 307 &&
                header 'location: .*/\?(a=b&)?keep_version=1' &&
                sees "$1" one '/?a=b' -L && no_header 'set-cookie' &&
                sees "$1" two '/?keep_root_version=1' && ctl forward app && sees "$1" two / ||
                return 1
        ctl activate app 1 --temporary --redirect 302 && ask "$1" / && is "$STATUS" 302 &&
                ctl forward app && sees "$1" two /
}

refused() {
        sed -i 's/keep_version = yes/keep_version = no/' "$WORLD/conf/sites.d/app.conf"
        ctl activate app 1 --temporary --redirect 302
        is $? 4 || return 1
        ctl activate app 1 --read-only
        is $? 2 || return 1
        ctl link app 99
        is $? 1 || return 1
        ctl link app 1 --from 10.0.0.0/8
        is $? 2 || return 1
        sed -i 's/keep_version = no/keep_version = yes/' "$WORLD/conf/sites.d/app.conf"
}

# What a person removed, and what a killed daemon had not written yet, is there after the start.
put_right() {
        local link

        link=$(ctl link app 1 -q) && ctl activate app 1 --temporary --read-only && sleep 2 &&
                daemon_end KILL
        rm -r "$SITES/app/front"
        daemon_start && sees "$1" one / && ask "$1" / -X POST -d a=b && is "$STATUS" 503 &&
                ctl forward app && sees "$1" one "$link" && sees "$1" two /
}

# The site's file is as before, and so is the home.
removed() {
        ctl link app 1 -q >/dev/null && ctl site remove app -y && [ ! -e "$SITES/app/front" ]
}

need 'two versions are there' prepared
need 'nginx serves by the printed lines' nginx_serves
servers=("nginx $PORT")
if command -v apache2 >/dev/null; then
        need 'apache serves by the printed lines' apache_serves
        servers+=("apache $APACHE_PORT")
fi
need 'another release' other_versions_run_no_cron "$PORT"
for server in "${servers[@]}"; do
        name=${server% *} port=${server#* }
        check "$name: a link leads to a version, until it is taken back" links_lead "$port"
        check "$name: a link ends by itself" links_end "$port"
        check "$name: a tester's address leads to a version" testers_see "$port"
        check "$name: keep_version and keep_root_version" keeps_versions "$port"
        check "$name: who asks for a version that is not shown is told so" unmounted_is_said "$port"
        check "$name: read-only rollback: nothing can be written, and forward ends it" read_only "$port"
        check "$name: a temporary rollback ends by itself" ends_by_itself "$port"
        check "$name: closed, but for guests" closed "$port"
        check "$name: redirected with the right status" redirects "$port"
        check "$name: closed while it is upgraded" closed_while_upgraded "$port"
        check "$name: a staged upgrade is seen when it is done" staged "$port"
done
check 'closed and staged' closed_and_staged
check 'nobody lists the links' links_are_not_listed
if chattr -i "$SITES/app" 2>/dev/null; then
        check 'a link that cannot be removed at its time is removed later' link_stuck
else
        TAP_N=$((TAP_N + 1))
        echo "ok $TAP_N - a link that cannot be removed at its time is removed later # SKIP no immutable directories here"
fi
check 'what cannot be is refused' refused
check 'a killed daemon and a removed directory are put right' put_right "$PORT"
check 'a temporary rollback from a version that was marked bad goes on' bad_meanwhile
check 'a site that we closed does not fail' closed_is_no_failure
if grep -q SITESNAP_FAULT "$BUILD/snapd/snapd"; then
        check 'killed between what is seen and what is written' killed_at_a_link
else
        TAP_N=$((TAP_N + 1))
        echo "ok $TAP_N - killed between what is seen and what is written # SKIP no crash points"
fi
need 'sessions may stay' sticky_served
label=s
for server in "${servers[@]}"; do
        name=${server% *} port=${server#* } label=${label}s
        check "$name: a session stays where it began, to look" sessions_stay "$port" "$label"
        check "$name: a visitor never turns back" sessions_never_turn "$port" "${label}x"
done
check 'a session stays no longer than the file of the site says' nobody_stays
check 'questions are answered while a site is upgraded' asked_while_upgraded
check 'nothing of an upgrade that was taken back outlasts the next operation' swept
check 'removing the site takes it all away' removed
tap_done
