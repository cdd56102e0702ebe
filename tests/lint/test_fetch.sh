#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test_fetch.sh: What is fetched for tests that run side by side is whole, or is not there and said
# to be missing.
lib=$(dirname "$0")/../lib
# shellcheck source=tests/lib/tap.sh
. "$lib/tap.sh"
SITESNAP_CACHE=$(mktemp -d "${TMPDIR:-/var/tmp}/sitesnap-fetch.XXXXXX") || exit 1
export SITESNAP_CACHE
trap 'rm -rf "$SITESNAP_CACHE" "$TAP_OUTPUT"' EXIT
# shellcheck source=tests/lib/fetch.sh
. "$lib/fetch.sh"

once() {
        local i

        for i in 1 2 3 4; do
                cached thing mark eval 'echo made >>../log; sleep 0.2; mkdir tree; echo >tree/mark' \
                        >"$CACHE/path.$i" &
        done
        wait
        [ "$(cat "$CACHE/log")" = made ] && [ "$(sort -u "$CACHE"/path.?)" = "$CACHE/thing" ] &&
                [ -e "$CACHE/thing/mark" ]
}

# Asked whether it succeeds, as every test asks.
failed() {
        if cached half mark eval "mkdir tree; echo >tree/mark; $1; echo >tree/more"; then
                echo 'it says that it is there'
                return 1
        fi
        ! ls -d "$CACHE"/half "$CACHE"/half.work 2>/dev/null
}

replaced() {
        mkdir "$CACHE/old" && touch "$CACHE/old/rest" &&
                cached old mark eval 'mkdir tree; echo >tree/mark' &&
                [ -e "$CACHE/old/mark" ] && [ ! -e "$CACHE/old/rest" ]
}

check 'four that want the same get one, made once' once
check 'where a command fails nothing is kept' failed false
check 'where a function fails that asks nobody nothing is kept' failed '(false; true)'
check 'what lacks its mark is not taken for it' failed 'rm tree/mark'
check 'what somebody left half is made anew' replaced
tap_done
