#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Switches under sixteen connections: no request fails, none is answered by two versions at once,
# none by the version before.  SITESNAP_TEST_ALL=1 makes it a thousand, SITESNAP_TEST_SWITCHES as
# many as it says.
. "$(dirname "$0")/common.sh"

# The most are about the servers, which are the same for both drivers.
case ${2:-overlayfs}/${SITESNAP_TEST_ALL:-} in
btrfs/) SWITCHES=80 ;;
*/) SWITCHES=300 ;;
*) SWITCHES=1000 ;;
esac
SWITCHES=${SITESNAP_TEST_SWITCHES:-$SWITCHES}
e2e_begin

prepared() {
        app_add app && ctl upgrade app --label two -- "$WORLD/bin/upgrade-app" two &&
                ctl mark app 1 good && app_expect "$PORT" two
}

switched() {
        local pid i began ended result

        echo "200 http://127.0.0.1:$PORT/ notes=" >"$WORLD/urls"
        "$BUILD/tests/e2e/load" -c 16 -s code= -l "$SITES/app/current" -f stamp.txt \
                "$WORLD/urls" >"$WORLD/load" &
        pid=$!
        began=$(date +%s%N)
        for i in $(seq "$SWITCHES"); do
                ctl activate app "$((1 + (i + 1) % 2))" -q || break
        done
        ended=$(date +%s%N)
        kill -TERM "$pid"
        wait "$pid"
        result=$?
        cat "$WORLD/load"
        echo "$i switches, $(((ended - began) / i / 1000)) us each" | tee "$WORLD/rate"
        [ "$i" -eq "$SWITCHES" ] && [ "$result" -eq 0 ]
}

# Neither mounts nor trees of versions that were left pile up.
nothing_piles_up() {
        local mounts trees

        mounts=$(grep -cF "$SITES/app/versions/" /proc/self/mountinfo)
        trees=$(find "$WORLD/state" -name state.db-wal -size +64M | wc -l)
        echo "$mounts mounts, $trees large logs"
        [ "$mounts" -le 12 ] && [ "$trees" -eq 0 ]
}

need 'two versions are there' prepared
check "$SWITCHES switches under 16 connections: 0 failed, 0 torn, 0 stale" switched
measured "$DRIVER: $(cat "$WORLD/rate"); $(cat "$WORLD/load")"
check 'nothing piles up' nothing_piles_up
tap_done
