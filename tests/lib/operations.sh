# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Operations of the daemon in $WORLD, as somebody sees them who waits for their end.  A process
# alone does not tell: one that waited for its operation has its number a moment after the client
# has its answer, and one that was killed is noticed by its daemon, later by the next one.

op_state() {
        curl -sS --unix-socket "$WORLD/run/snapd.sock" "http://x/v1/operations/$1" |
                python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])'
}

# op_open OP: It is on its way, or is to be settled.
op_open() {
        case $(op_state "$1") in
        queued | running | undoing | rescuing) return 0 ;;
        *) return 1 ;;
        esac
}

# op_waited OP: It has ended, or its daemon has seen its process die.
op_waited() {
        local i

        for i in $(seq 300); do
                op_open "$1" || return 0
                ! grep -q "the process of operation $1 ended" "$WORLD/log/snapd.log" || return 0
                sleep 0.1
        done
        echo "operation $1 does not end ($i)"
        return 1
}

# op_idle: Every operation has ended, and tidies up no more.
op_idle() {
        local i

        for i in $(seq 300); do
                ctl ops --format json | grep -qE '"(queued|running|undoing|rescuing)"' ||
                        pgrep -f -- '--operation [0-9]' >/dev/null || return 0
                sleep 0.1
        done
        echo "an operation does not end ($i)"
        return 1
}
