#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Broken releases under visitors are taken back by themselves, whatever is broken about them; a good
# one is not.  Printed is the time between the first bad answer that a visitor got and the last.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/../lib/sinks.sh"

RATE=40
e2e_begin 1G
lib=$(dirname "$(readlink -f "$0")")/../lib
ACCESS=$WORLD/web/log/app.access ANSWERS=$WORLD/answers TOLD=$WORLD/told VISITORS='' ONE=''
MAIL=$WORLD/mail HOOK=$WORLD/hook

# web_logged NAME: The site's visitors are written down, with the time of each answer.
web_logged() {
        sed -i "1i log_format $1 '\$remote_addr - - [\$time_local] \"\$request\" \$status \$body_bytes_sent \"-\" \"\$http_user_agent\" \$request_time';
                s|server_name localhost;|& access_log $WORLD/web/log/$1.access $1; location = /boom { return 500; }|" \
                "$WEB_DIR/sites/$1.conf" && web_start
}

# guard_conf SITE: Probes every second and a short probation, in the file that `site add` wrote.
guard_conf() {
        sed -i -e 's/^probation = .*/probation = 20s/' -e 's/^latency_floor = .*/latency_floor = 100ms/' \
                -e "s|^policy = .*|&\nurl = http://127.0.0.1:$PORT/|" "$WORLD/conf/sites.d/$1.conf" &&
                cat >>"$WORLD/conf/sites.d/$1.conf" <<END

[probe front]
url = /?page=0
url = /?page=1
url = /?page=2
url = /?page=3
expect_match = notes=\\d+ end
interval = 1s

[probe visitors]
kind = accesslog
log = $ACCESS
time = seconds
interval = 1s
END
        ctl site check "$1"
}

# What the upgrades of this script write: the new release, broken as its first argument says.
upgrades_write() {
        cat >"$WORLD/bin/upgrade-broken" <<'END'
#!/bin/sh
set -eu
"$(dirname "$0")/upgrade-app" "$2"
break_with() {
        { echo '<?php'; cat; echo "return '$1';"; } >parts/one.php.new
        mv parts/one.php.new parts/one.php
}
case $1 in
# Not at once, or the questions that are asked at the end of the upgrade would find it.
fatal) echo "if (time() > $(date +%s) + 4) { this_function_is_missing(); }" | break_with "$2" ;;
schema)
        data=$(sed -n "s/.*database_dir = '\(.*\)'.*/\1/p" config.php)
        sqlite3 -cmd '.timeout 5000' "$data/app.sqlite" 'DROP TABLE notes' ;;
page) echo 'if (($_GET["page"] ?? 0) == 7) { http_response_code(500); exit; }' | break_with "$2" ;;
slow) echo 'usleep(800000);' | break_with "$2" ;;
agent) echo 'if (str_starts_with($_SERVER["HTTP_USER_AGENT"] ?? "", "Visitor")) {
        http_response_code(500); exit; }' | break_with "$2" ;;
address) echo 'if ($_SERVER["REMOTE_ADDR"] != "127.0.0.1") { http_response_code(500); exit; }' |
        break_with "$2" ;;
esac
END
        cat >"$WORLD/bin/tell" <<END
#!/bin/sh
cat >$TOLD/\$(date +%s%N).json
END
        chmod 755 "$WORLD/bin/upgrade-broken" "$WORLD/bin/tell"
        mkdir -p "$TOLD" "$WORLD/conf/notices.d"
        chown "$OWNER" "$TOLD"
        printf '%s\n' '[notice]' 'kind = command' '[command]' "run = $WORLD/bin/tell" \
                "user = $OWNER" >"$WORLD/conf/notices.d/tell.conf"
}

# visitors_start ADDRESS: They come from there.
visitors_start() {
        python3 "$lib/visitors.py" "$PORT" "$ANSWERS" "$RATE" "$1" &
        VISITORS=$!
}

visitors_stop() {
        kill "$VISITORS" && wait "$VISITORS"
}

guard_state() {
        ctl site show app --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["guard_state"])'
}

# state_becomes STATES SECONDS: The guard's state is one of these within so many seconds.
state_becomes() {
        local wanted=" $1 " seconds=$2 now

        for _ in $(seq $((seconds * 5))); do
                now=$(guard_state)
                case $wanted in *" $now "*) return 0 ;; esac
                sleep 0.2
        done
        echo "after $seconds s the state is '$now', not '$1'"
        tail -n 3 "$ANSWERS"
        ctl status app
        return 1
}

prepared() {
        upgrades_write && app_add app && web_logged app && guard_conf app && visitors_start 127.0.0.1
}

measured_before() {
        # The first look at the file takes at most ten seconds.
        sleep 32
        is "$(guard_state)" none && ctl ops app | grep -c . >/dev/null &&
                [ "$(grep -c ' ok ' "$ANSWERS")" -gt 300 ] && ! grep -q ' bad ' "$ANSWERS"
}

# The seconds between the first bad answer since $1 and the last.
bad_time() {
        awk -v since="$1" '$1 >= since && $4 == "bad" { if (!n++) first = $1; last = $1 }
                END { if (n) printf "%.1f s from the first bad answer to the last, %d bad answers\n",
                        last - first, n; else print "no bad answer" }' "$ANSWERS"
}

slow_time() {
        awk -v since="$1" '$1 >= since && $3 > 700 { if (!n++) first = $1; last = $1 }
                END { printf "%.1f s from the first slow answer to the last, %d slow answers\n",
                        last - first, n }' "$ANSWERS"
}

# taken_back HOW LABEL SECONDS: A release that is broken in this way is taken back.
taken_back() {
        local how=$1 label=$2 seconds=$3 since before status

        before=$(active app)
        since=$(date +%s.%N)
        ctl upgrade app -q --label "$label" -- "$WORLD/bin/upgrade-broken" "$how" "$label"
        status=$?
        # What the questions at its end find is taken back by the upgrade itself.
        if [ "$status" -eq 6 ]; then
                bad_time "$since" | sed 's/$/, by the upgrade itself/' >"$WORLD/took"
                app_expect "$PORT" one
                return
        fi
        [ "$status" -eq 0 ] || return 1
        [ -z "${KILL:-}" ] || { daemon_kill && daemon_start || return 1; }
        state_becomes 'verifying rolled-back' "$seconds" && is "$(active app)" "$before" || return 1
        {
                case $how in
                slow) slow_time "$since" ;;
                *) bad_time "$since" ;;
                esac
                rollback_times "$since" | awk '{ printf "%.2f s from the sample that broke the rule until "\
                        "the old version was served\n", $2 - $1 }'
        } | paste -sd ';' | sed 's/;/; /' >"$WORLD/took"
        state_becomes rolled-back 40 && web_get "$PORT" / && grep -q 'notes=[0-9]* end' "$WEB_DIR/body" &&
                app_expect "$PORT" one
}

it_is_said() {
        local bad

        bad=$(versions app | awk '$2 ~ /(^|,)bad(,|$)/ {n = $1} END {print n}')
        ctl show app "$bad" | grep -q 'failed' &&
                exits 4 'was taken back here as version' ctl upgrade app --label broken-fatal -- \
                        "$WORLD/bin/upgrade-app" x &&
                ctl ops app --json >"$WORLD/ops.json" &&
                python3 - "$WORLD/ops.json" <<'END' >"$WORLD/op" &&
import json, sys
ops = json.load(open(sys.argv[1]))["operations"]
print(next(op["id"] for op in ops if op["verb"] == "rollback" and op["by"] == "snapd"))
END
                ctl ops show "$(cat "$WORLD/op")" --json >"$WORLD/op.json" &&
                python3 - "$WORLD/op.json" <<'END' &&
import json, sys
cause = json.load(open(sys.argv[1]))["cause"]
assert cause["by"] == "guard" and cause["rule"] == "errors" and cause["answers"] > 0, cause
assert len(cause["samples"]) > 3, cause
assert cause["examples"] and cause["examples"][0]["verdict"] == "bad", cause
END
                ctl ops show "$(cat "$WORLD/op")" | grep -q Cause: &&
                ls "$TOLD"/*.json >/dev/null && grep -l '"rolled-back"' "$TOLD"/*.json
}

# Another tenant's log holds lines that look like ours, and more than anybody reads.
flood() {
        python3 - "$WORLD/web/log/flood.access" <<'END'
import sys
line = '127.0.0.1 - - [20/Nov/2026:13:00:00 +0000] "GET / HTTP/1.1" 500 1 "-" "x" 9.999\n'
evil = '\x1b[2J\0\xff" 500 500 "\r app 127.0.0.1 ' + 'A' * 70000 + '\n'
with open(sys.argv[1], 'a', encoding='latin-1') as log:
    for _ in range(200):
        log.write(line * 1000 + evil)
END
}

flooded() {
        app_install one "$SITES/www/flood" "$SITES/data-flood" games &&
                cat >"$WORLD/conf/sites.d/flood.conf" <<END &&
[site]
home = $SITES/flood
owner = games
docroot = $SITES/www/flood
[guard]
url = http://127.0.0.1:$PORT/
[probe visitors]
kind = accesslog
log = $WORLD/web/log/flood.access
interval = 1s
END
                : >"$WORLD/web/log/flood.access" &&
                ctl site add flood --home "$SITES/flood" --owner games --driver "$DRIVER" \
                        --pool "$SITES/pool/flood" --adopt "$SITES/www/flood"
}

# Nobody asked for it before: it fails in every version.  As often as all others ask for all else.
one_visitor_asks() {
        echo '/boom nothing' >"$WORLD/boom"
        python3 "$lib/visitors.py" "$PORT" "$WORLD/boomed" "$RATE" 127.1.0.3 "$WORLD/boom" &
        ONE=$!
}

a_good_release_stays() {
        local since

        since=$(date +%s.%N)
        ctl upgrade app -q --label good -- "$WORLD/bin/upgrade-app" good &&
                state_becomes probation 5 && ctl status app | grep -q 'On probation: version' || return 1
        one_visitor_asks
        for _ in $(seq 8); do
                flood
                sleep 0.5
        done
        state_becomes good 60 && has_state app "$(active app)" good &&
                app_expect "$PORT" good && bad_time "$since" | tee "$WORLD/took" &&
                kill "$ONE" && [ "$(grep -c ' 500 ' "$WORLD/boomed")" -gt 200 ]
}

# policy WORD: From now on.
policy() {
        sed -i "s/^policy = .*/policy = $1/" "$WORLD/conf/sites.d/app.conf" && ctl site check app
}

# hook_of PHASE VERSION: One webhook came for it, with the cause and what to do, and no other.
hook_of() {
        python3 - "$HOOK" "$@" <<'END'
import glob, json, sys, time
hook, phase, version = sys.argv[1], sys.argv[2], int(sys.argv[3])
for _ in range(50):
    found = [n for path in glob.glob(hook + '/*.json') for n in json.load(open(path))['notices']
             if n['to'] == version]
    if found:
        break
    time.sleep(0.2)
assert [n['phase'] for n in found] == [phase], found
notice, = found
assert notice['site'] == 'app' and "probe '" in notice['why'] and notice['evidence'], notice
assert any('rollback app' in command for command in notice['next']), notice
END
}

# kept WORD STATE LABEL: A release that fails stays where the policy says so, and the guard's state
# is this; the version is $KEPT, the one before $PRIOR.
kept() {
        PRIOR=$(active app)
        policy "$1" && ctl upgrade app -q --label "$3" -- "$WORLD/bin/upgrade-broken" fatal "$3" &&
                state_becomes "$2" 40 || return 1
        KEPT=$(active app)
        sleep 1
        [ "$KEPT" -gt "$PRIOR" ] && is "$(active app)" "$KEPT" && is "$(guard_state)" "$2" &&
                lacks_state app "$KEPT" bad && web_get "$PORT" /
        is "$(ctl ops app --json | python3 -c '
import json, sys
print(json.load(sys.stdin)["operations"][0]["verb"])')" upgrade
}

frozen_is_said() {
        ctl status app >"$WORLD/seen" && ctl show app "$KEPT" >>"$WORLD/seen" &&
                cat "$WORLD/seen" &&
                is "$(grep -c "FROZEN: version $KEPT fails; no upgrade until somebody decides" "$WORLD/seen")" 2 &&
                grep -q "Cause: probe '" "$WORLD/seen"
}

frozen_calls_a_person() {
        local mail

        mail=$(mail_with "$MAIL" "app: version $KEPT is not healthy, somebody has to decide") &&
                says "$mail" "Version $PRIOR is kept" "probe '" 'snapctl rollback app' \
                        "snapctl mark app $KEPT good" && hook_of freeze "$KEPT"
}

# A schedule that comes by, also after a restart.
frozen_refuses_the_next() {
        exits 4 "'app' is frozen" ctl upgrade app --label next -- "$WORLD/bin/upgrade-app" next &&
                daemon_stop && daemon_start && state_becomes frozen 20 &&
                exits 4 "snapctl rollback app' goes back" ctl upgrade app --label next -- \
                        "$WORLD/bin/upgrade-app" next
}

# A person goes back, and that is all.
back() {
        ctl rollback app && is "$(active app)" "$PRIOR" && is "$(guard_state)" none &&
                app_expect "$PORT" good && ctl upgrade app --dry-run --label next -- /bin/true
}

alert_only_tells() {
        local mail

        kept alert alerted alerted || return 1
        mail=$(mail_with "$MAIL" "app: version $KEPT is not healthy") &&
                says "$mail" 'Nothing was switched' "probe '" 'snapctl rollback app' &&
                hook_of alert "$KEPT" && ctl status app | grep -q "Version $KEPT fails its probes" &&
                ctl mark app "$KEPT" good --reason 'the probe is wrong' && is "$(guard_state)" good && back
}

need 'a site with visitors, a guard and somebody who is told' prepared
need 'it is measured and well' measured_before
check 'a fatal error in a file is taken back' taken_back fatal broken-fatal 40
measured "fatal: $(cat "$WORLD/took")"
check 'its cause, evidence and notice are there; the release is refused' it_is_said
# WordPress breaks like this in the ordinary run: test_guard_real.sh.
if [ -n "${SITESNAP_TEST_ALL:-}" ]; then
        check 'a broken schema is taken back' taken_back schema broken-schema 40
        measured "schema: $(cat "$WORLD/took")"
        check 'ten times slower is taken back' taken_back slow broken-slow 40
        measured "slow: $(cat "$WORLD/took")"
fi
KILL=1 check 'one page in twenty is taken back, and snapd was killed meanwhile' \
        taken_back page broken-page 60
measured "one page in twenty: $(cat "$WORLD/took")"
check 'what is well for the prober only is taken back, by agent' taken_back agent broken-agent 40
measured "by agent: $(cat "$WORLD/took")"
visitors_stop
visitors_start 127.0.0.2
check 'so is what is well for its address only' taken_back address broken-address 40
measured "by address: $(cat "$WORLD/took")"
check 'another tenant has a site' flooded
check 'a good release stays and is marked, whatever others write in their logs and one visitor asks for' a_good_release_stays
measured "good: $(cat "$WORLD/took")"
check 'somebody can be called' person_there "$MAIL" "$HOOK"
check 'where the policy is freeze, a release that fails stays' kept freeze frozen frozen
check 'it is said' frozen_is_said
check 'a person is called' frozen_calls_a_person
check 'the next upgrade is refused' frozen_refuses_the_next
check 'until the person goes back' back
check 'where it is alert, the person is told, and that is all; who is wrong can be told' alert_only_tells
visitors_stop
tap_done
