# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# TAP from a shell script.  The cases of a script build on each other; a script whose footing is
# gone says so with tap_bail and is a failure, not a handful of passed cases.
#
#   check NAME COMMAND...         a case: the command succeeds; what it printed is shown if not
#   need NAME COMMAND...          the same, and nothing below makes sense without it
#   exits STATUS TEXT COMMAND...  the command ends with this status and says this (to use in check)
#   measured TEXT                 a number worth seeing in the summary of a run
#   tap_skip REASON / tap_done

TAP_N=0 TAP_FAILED=0 TAP_OUTPUT=''

check() {
        local name=$1

        shift
        [ -n "$TAP_OUTPUT" ] || TAP_OUTPUT=$(mktemp "${TMPDIR:-/var/tmp}/sitesnap-tap.XXXXXX")
        TAP_N=$((TAP_N + 1))
        if "$@" >"$TAP_OUTPUT" 2>&1; then
                echo "ok $TAP_N - $name"
                return 0
        fi
        TAP_FAILED=1
        sed 's/^/# /' "$TAP_OUTPUT"
        echo "not ok $TAP_N - $name"
        return 1
}

need() {
        check "$@" || { echo "Bail out! $1"; exit 1; }
}

exits() {
        local want=$1 text=$2 output status

        shift 2
        output=$("$@" 2>&1) && status=0 || status=$?
        printf '%s\n' "$output"
        if [ "$status" -ne "$want" ]; then
                echo "'$*' exits $status, not $want"
                return 1
        fi
        case $output in
        *"$text"*) return 0 ;;
        esac
        echo "'$*' does not say '$text'"
        return 1
}

measured() {
        echo "# measured: $*"
}

tap_skip() {
        echo "1..0 # SKIP $*"
        exit 0
}

tap_done() {
        echo "1..$TAP_N"
        exit "$TAP_FAILED"
}
