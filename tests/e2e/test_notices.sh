#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Notices reach people and programs: by mail over TLS, by a signed webhook, by a command; what is down
# gets them when it is up again, once; what is slow is slow for itself.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/../lib/sinks.sh"

e2e_begin 1G
need 'a site' app_add app
lib=$(dirname "$(readlink -f "$0")")/../lib
MAIL=$WORLD/mail HOOK=$WORLD/hook SLOW=$WORLD/slow TOLD=$WORLD/told
mkdir "$MAIL" "$HOOK" "$SLOW" "$TOLD" "$WORLD/conf/notices.d"
chown "$OWNER" "$TOLD"
MAIL_PORT=$(port_free)
HOOK_PORT=$(port_free)
while [ "$HOOK_PORT" = "$MAIL_PORT" ]; do HOOK_PORT=$(port_free); done
SLOW_PORT=$(port_free)
while [ "$SLOW_PORT" = "$MAIL_PORT" ] || [ "$SLOW_PORT" = "$HOOK_PORT" ]; do SLOW_PORT=$(port_free); done

hook_start() {
        python3 "$lib/webhook_sink.py" "$HOOK_PORT" "$HOOK" hook-secret 2>>"$WORLD/log/hook.log" &
        HOOK_PID=$!
        listens "$HOOK_PORT"
}

hook_stop() {
        kill "$HOOK_PID" && wait "$HOOK_PID" 2>/dev/null
        # It counts from 1 again.
        rm -f "$HOOK"/*.json "$HOOK"/*.forged
}

sinks_start() {
        python3 "$lib/webhook_sink.py" "$SLOW_PORT" "$SLOW" slow-secret 2>>"$WORLD/log/slow.log" &
        mail_start "$MAIL_PORT" "$MAIL" me 'mail "secret"' && listens "$SLOW_PORT" && hook_start
}

targets_write() {
        secret mail 'mail "secret"'
        secret hook hook-secret
        secret slow slow-secret
        cat >"$WORLD/bin/tell" <<END
#!/bin/sh
cat >$TOLD/\$(date +%s%N).json; id -un >$TOLD/user
END
        chmod 755 "$WORLD/bin/tell"
        mail_target ops "$MAIL_PORT" me mail
        target hook '[notice]' 'kind = webhook' 'phases = finished failed rolled-back held' \
                '[webhook]' "url = http://127.0.0.1:$HOOK_PORT/x" \
                "secret_file = $WORLD/conf/hook.secret"
        target program '[notice]' 'kind = command' 'phases = rolled-back' 'sites = app' \
                '[command]' "run = $WORLD/bin/tell" "user = $OWNER"
}

# hooks PHASE [N [SECONDS]]: How many webhooks came for it, once they are N; within 10 s.
hooks() {
        local i n=0

        for i in $(seq $((${3:-10} * 10))); do
                n=$(grep -lF "\"phase\":\"$1\"" "$HOOK"/*.json 2>/dev/null | wc -l)
                [ "$n" -lt "${2:-1}" ] || break
                sleep 0.1
        done
        echo "$n"
}

mistakes_are_named() {
        target wrong '[notice]' 'kind = mail' '[mail]' 'server = mail.example.org'
        exits 1 'notices.d/wrong.conf:4: server:' ctl notice check && rm "$WORLD/conf/notices.d/wrong.conf" &&
                exits 0 'no mistakes' ctl notice check
}

test_arrives() {
        local mail

        exits 0 'was accepted' ctl notice test ops || return 1
        mail=$(mail_with "$MAIL" 'a test of the notices') || return 1
        says "$mail" 'This is a test' 'snapctl notice list' || return 1
        grep -qx 'login me' "${mail%.eml}.how" && grep -q 'b@example.org' "${mail%.eml}.how" &&
                grep -q '^To: a@example.org' "$mail" && grep -q '^Message-ID: <sitesnap-' "$mail"
}

# Without our certificate the server could be anybody: it gets neither mail nor password.
stranger_gets_nothing() {
        sed '/^ca_file/d' "$WORLD/conf/notices.d/ops.conf" >"$WORLD/conf/notices.d/strange.conf"
        exits 1 'certificate' ctl notice test strange || return 1
        rm "$WORLD/conf/notices.d/strange.conf"
        [ ! -e "$MAIL/refused" ] || { cat "$MAIL/refused"; return 1; }
}

wrong_password_is_said() {
        secret mail wrong
        exits 1 'denied' ctl notice test ops || return 1
        secret mail 'mail "secret"'
        grep -q 'login of me, with TLS' "$MAIL/refused"
}

failed_upgrade_is_told() {
        local mail

        exits 6 '' ctl upgrade app --label 2.0 -- "$WORLD/bin/upgrade-app" two fail || return 1
        mail=$(mail_with "$MAIL" 'app: upgrade was rolled back, version 1 is served again') || return 1
        says "$mail" "upgrade of 'app' to version 2, was rolled back" 'exited with status 3' \
                'Version 1 is served again' 'Release:           2.0' 'snapctl ops show' \
                'snapctl diff app 1 2' 'cannot go on: a table is missing' &&
                mail_with "$MAIL" 'app: upgrade begins' >"$WORLD/seen"
}

# The sink keeps as .json only what was signed right.
webhook_is_signed() {
        is "$(hooks rolled-back)" 1 && ! compgen -G "$HOOK/*.forged" &&
                python3 -c '
import json, sys
message = json.load(open(sys.argv[1]))
notice = message["notices"][0]
assert message["target"] == "hook" and message["id"].startswith("sitesnap-"), message
assert notice["site"] == "app" and notice["from"] == 1 and notice["to"] == 2, notice
assert "track" not in notice and "automatic_updates" not in notice, notice
' "$(grep -lF '"phase":"rolled-back"' "$HOOK"/*.json)"
}

command_reads_it() {
        local i

        for i in $(seq 100); do
                [ ! -s "$TOLD/user" ] || break
                sleep 0.1
        done
        is "$(cat "$TOLD/user")" "$OWNER" && grep -qF '"phase":"rolled-back"' "$TOLD"/*.json
}

# nothing_waits: Every notice was sent, within 10 s.
nothing_waits() {
        local i

        for i in $(seq 100); do
                ctl notice list --columns state --no-headers >"$WORLD/states" || return 1
                ! grep -q waiting "$WORLD/states" && return 0
                sleep 0.1
        done
        ctl notice list -v
        return 1
}

unreachable_waits() {
        hook_stop
        ctl upgrade app --label three -- "$WORLD/bin/upgrade-app" three || return 1
        mail_with "$MAIL" 'app: upgrade finished, version 3 is served' >"$WORLD/seen" || return 1
        local i

        for i in $(seq 100); do
                ctl notice list --format csv --columns target,state,attempts,why >"$WORLD/list" || return 1
                grep -q '^hook,waiting,[1-9].*connect' "$WORLD/list" && return 0
                sleep 0.1
        done
        cat "$WORLD/list"
        return 1
}

# The second attempt is 5 s after the first, the third 30 s after that.
arrives_once_when_up() {
        local began=$SECONDS

        daemon_stop && daemon_start && hook_start || return 1
        is "$(hooks finished 1 45)" 1 || { ctl notice list -v; return 1; }
        echo "$((SECONDS - began))" >"$WORLD/took"
        nothing_waits && sleep 2 && is "$(hooks finished)" 1
}

# The process that delivers goes on without its daemon and marks what it did.
killed_daemon_sends_once() {
        echo 3 >"$HOOK/wait"
        ctl activate app 1 && is "$(hooks finished 2)" 2 || return 1
        is "$(ctl notice list --format csv --columns target,state | grep -c '^hook,waiting')" 1 || return 1
        daemon_kill && daemon_start || return 1
        sleep 5
        rm "$HOOK/wait"
        nothing_waits && is "$(hooks finished 2)" 2
}

milliseconds() {
        echo $(($(date +%s%N) / 1000000))
}

slow_delays_nobody() {
        local began mail_took rollback_took status_took

        echo 100 >"$SLOW/wait"
        target slow '[notice]' 'kind = webhook' '[webhook]' "url = http://127.0.0.1:$SLOW_PORT/x" \
                "secret_file = $WORLD/conf/slow.secret"
        rm -f "$MAIL"/*.eml
        began=$(milliseconds)
        ctl rollback app || return 1
        rollback_took=$(($(milliseconds) - began))
        mail_with "$MAIL" 'app: rollback finished' >"$WORLD/seen" || return 1
        mail_took=$(($(milliseconds) - began))
        compgen -G "$SLOW/*.json" >/dev/null || { echo 'the slow one was not asked'; return 1; }
        began=$(milliseconds)
        ctl status >/dev/null || return 1
        status_took=$(($(milliseconds) - began))
        echo "rollback $rollback_took ms, its mail after $mail_took ms, status $status_took ms" \
                >"$WORLD/times"
        cat "$WORLD/times"
        rm "$WORLD/conf/notices.d/slow.conf"
        [ "$mail_took" -lt 8000 ] && [ "$status_took" -lt 2000 ]
}

digest_is_one_mail() {
        local mail

        sed 's/^kind = mail/&\ndigest = 4s\nphases = finished/' "$WORLD/conf/notices.d/ops.conf" \
                >"$WORLD/conf/notices.d/digest.conf"
        rm "$WORLD/conf/notices.d/ops.conf"
        ctl activate app 1 && ctl activate app 3 || return 1
        mail=$(mail_with "$MAIL" '2 notices') || return 1
        says "$mail" ' 1. app: activate finished' ' 2. app: activate finished' '--- 2 ---'
}

little_space_is_told_once() {
        sed -i 's/^kind = mail/&\nphases = space-low/; /^digest/d; /^phases = finished/d' \
                "$WORLD/conf/notices.d/digest.conf"
        sed -i 's/^[# ]*free = .*/free = 100G/' "$WORLD/conf/sites.d/app.conf"
        grep -qx 'free = 100G' "$WORLD/conf/sites.d/app.conf" || return 1
        rm -f "$MAIL"/*.eml
        ctl activate app 1 || return 1
        mail_with "$MAIL" 'app: little space is left' >"$WORLD/seen" || return 1
        says "$(cat "$WORLD/seen")" 'are free, and 100G should be' || return 1
        ctl activate app 3 && sleep 2 && is "$(grep -l 'little space' "$MAIL"/*.eml | wc -l)" 1
}

# What others know is told with what the site's file says, and once.
release_is_told() {
        local mail

        sed -i '/^phases = space-low/d' "$WORLD/conf/notices.d/digest.conf"
        sed -i 's/^\[upgrade\]/&\ntrack = stable\nautomatic = no/' "$WORLD/conf/sites.d/app.conf"
        ctl site check app || return 1
        rm -f "$MAIL"/*.eml
        ctl notice send app available --label 2.1 --reason 'closes a hole' || return 1
        mail=$(mail_with "$MAIL" 'app: 2.1 is available') || return 1
        says "$mail" 'Release:           2.1' 'Track:             stable' 'Automatic updates: off' \
                'closes a hole' 'snapctl upgrade app --dry-run' || return 1
        exits 0 'told before' ctl notice send app available --label 2.1 &&
                exits 2 '--at, the time' ctl notice send app scheduled --label 2.1 || return 1
        exits 0 'on its way' ctl notice send app scheduled --label 2.1 --at 2h || return 1
        mail=$(mail_with "$MAIL" 'app: an upgrade to 2.1 is scheduled') || return 1
        says "$mail" 'is going to begin at 20' 'Begins at:' &&
                ctl site show app --json | grep -q '"automatic_updates": *false'
}

# A secret is in its file and in memory, nowhere else.
secrets_stay_secret() {
        ! grep -rlF -e hook-secret -e 'mail "secret"' "$WORLD/state" "$WORLD/log" "$WORLD/run"
}

# Sites are served and switched without anybody being told, rather than not at all.
broken_outbox_stops_nothing() {
        daemon_stop
        rm -f "$WORLD/state/outbox.db-wal" "$WORLD/state/outbox.db-shm"
        printf 'no database, and long enough to be looked at\n%.0s' $(seq 50) >"$WORLD/state/outbox.db"
        daemon_start && ctl activate app 1 && app_expect "$PORT" one || return 1
        exits 1 'the outbox could not be opened' ctl notice list &&
                grep -q 'remove it to begin a new one' "$WORLD/log/snapd.log" || return 1
        daemon_stop
        rm "$WORLD/state/outbox.db"
        daemon_start && exits 0 'none waits' ctl notice list
}

need 'a certificate' certificate
need 'a mail server and receivers' sinks_start
targets_write
check 'mistakes in notices.d are named' mistakes_are_named
check 'a test arrives by mail, over TLS, logged in' test_arrives
check 'a server with a strange certificate gets nothing' stranger_gets_nothing
check 'a wrong password is said' wrong_password_is_said
check 'a failed upgrade is told by mail with what a person needs' failed_upgrade_is_told
check 'and by a signed webhook' webhook_is_signed
check 'and to a command, as its user' command_reads_it
check 'a receiver that is down is waited for' unreachable_waits
check 'after a restart it gets the notice once' arrives_once_when_up
measured "a receiver that came back had its notice after $(cat "$WORLD/took" 2>/dev/null) s"
check 'a daemon killed while it is delivered sends it once' killed_daemon_sends_once
check 'a receiver of 100 s delays nobody' slow_delays_nobody
measured "beside a receiver that takes 100 s: $(cat "$WORLD/times" 2>/dev/null)"
check 'a digest is one mail' digest_is_one_mail
check 'little space is told once' little_space_is_told_once
check 'a release is told of, once, with its track' release_is_told
check 'no secret stands in state, log or run' secrets_stay_secret
check 'an outbox that cannot be read stops nothing else' broken_outbox_stops_nothing
tap_done
