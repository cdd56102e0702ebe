#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The daemon, an operation's process or both end while an upgrade runs its command.
. "$(dirname "$0")/common.sh"

e2e_begin 1G
need 'a site' app_add app

# slow VERSION: says that it runs, waits for the word, upgrades.
mkdir "$WORLD/word"
chmod 1777 "$WORLD/word"
cat >"$WORLD/bin/slow" <<END
#!/bin/sh
echo start >>$WORLD/word/starts
while [ ! -e $WORLD/word/go ]; do sleep 0.1; done
exec $WORLD/bin/upgrade-app "\$1"
END
chmod 755 "$WORLD/bin/slow"

starts() {
        wc -l <"$WORLD/word/starts"
}

# begin VERSION: The command of an upgrade runs; $OP is the operation.
begin() {
        rm -f "$WORLD/word/go" "$WORLD/word/starts"
        ctl upgrade app --label "$1" --no-wait -- "$WORLD/bin/slow" "$1" || return 1
        OP=$(ctl ops --format json | python3 -c '
import json, sys
answer = json.load(sys.stdin)
print(max(op["id"] for op in (answer["operations"] if isinstance(answer, dict) else answer)))')
        for _ in $(seq 300); do
                [ ! -s "$WORLD/word/starts" ] || return 0
                sleep 0.1
        done
        echo 'the command does not begin'
        return 1
}

operation_process() {
        pgrep -o -f -- "--operation $OP\$" # its worker is a child of the same name
}

# ended STATE: The operation ends in this state.
ended() {
        for _ in $(seq 300); do
                op_open "$OP" || break
                sleep 0.1
        done
        is "$(op_state "$OP")" "$1"
}

# An operation that has ended still tidies up for a moment.
nothing_of_it_runs() {
        ! pgrep -f -- "$WORLD/bin/slow" || return 1
        for _ in $(seq 100); do
                operation_process >"$WORLD/process" || return 0
                sleep 0.1
        done
        echo "process $(cat "$WORLD/process") stays"
        return 1
}

polite_restart() {
        local process

        begin two || return 1
        process=$(operation_process)
        daemon_stop && daemon_start || return 1
        is "$(operation_process)" "$process" && touch "$WORLD/word/go" && ended 'done' &&
                is "$(starts)" 1 && app_expect "$PORT" two
}

daemon_killed() {
        local process

        begin three || return 1
        process=$(operation_process)
        daemon_kill && daemon_start || return 1
        is "$(operation_process)" "$process" && touch "$WORLD/word/go" && ended 'done' &&
                is "$(starts)" 1 && app_expect "$PORT" three
}

# A new process settles what the dead one left; its command went with it.
operation_killed() {
        begin four || return 1
        kill -KILL "$(operation_process)"
        ended rolled-back && is "$(starts)" 1 && nothing_of_it_runs && app_expect "$PORT" three
}

# Settled before the daemon answers, so the first answer is the last state.
both_killed() {
        local process

        begin five || return 1
        process=$(operation_process)
        daemon_kill
        kill -KILL "$process"
        daemon_start || return 1
        curl -sS --unix-socket "$WORLD/run/snapd.sock" "http://x/v1/operations/$OP" |
                grep -q '"state":"rolled-back"' || { echo 'not settled when it answered'; return 1; }
        is "$(starts)" 1 && nothing_of_it_runs && app_expect "$PORT" three
}

aborted_after_a_restart() {
        begin six || return 1
        daemon_kill && daemon_start && ctl ops abort "$OP" || return 1
        ended rolled-back && nothing_of_it_runs && app_expect "$PORT" three
}

# Its process ended each time before it had made a plan; the journal is as the daemon leaves it then.
held_without_a_plan() {
        daemon_stop
        OP=$(sqlite3 -cmd '.timeout 5000' "$WORLD/state/state.db" "INSERT INTO ops
                (site, verb, request, state, held_state, by, reason, created)
                VALUES ('app', 'upgrade', '{\"verb\": \"upgrade\", \"command\":
                        [\"$WORLD/bin/upgrade-app\", \"eight\"]}', 'held', 'queued', 0, '', 1);
                SELECT last_insert_rowid()")
        daemon_start && exits 3 'held' ctl upgrade app -- /bin/true && ctl ops resume "$OP" &&
                ended 'done' && app_expect "$PORT" eight
}

# no_waiting_process SECONDS/10: None of any daemon's; one is there as soon as somebody has asked.
no_waiting_process() {
        for _ in $(seq "$1"); do
                pgrep -f some-later-operation >"$WORLD/process" || return 0
                sleep 0.1
        done
        echo "process $(cat "$WORLD/process") stays"
        return 1
}

# The daemon's end is waited for, so the polite one is gone at once.
the_one_that_waits_ends() {
        ctl status >/dev/null && pgrep -f some-later-operation >/dev/null || return 1
        daemon_stop && no_waiting_process 1 && daemon_start && ctl status >/dev/null || return 1
        is "$(pgrep -f some-later-operation | wc -l)" 1 && daemon_kill && no_waiting_process 50 &&
                daemon_start
}

check 'a process that waits for an operation ends with its daemon' the_one_that_waits_ends
check 'a polite restart: the upgrade goes on and its end is seen' polite_restart
check 'the daemon killed: the upgrade goes on' daemon_killed
check 'the process of the upgrade killed: rolled back, nothing of it runs' operation_killed
check 'both killed: settled before the daemon answers' both_killed
check 'an upgrade of an earlier daemon is aborted' aborted_after_a_restart
check 'and the next upgrade goes through' ctl upgrade app --label seven -- "$WORLD/bin/upgrade-app" three
check 'an operation that was held before it had a plan is resumed' held_without_a_plan
tap_done
