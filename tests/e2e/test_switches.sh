#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Switches under sixteen connections: no request fails, none is answered by two versions at once,
# none by the version before.  Four sites side by side, four connections each: the next switch of a
# site waits until the version that was left has been quiet for 0.3 s, and it is the number of
# switches that finds something, not their pace.  SITESNAP_TEST_SWITCHES makes it as many.
. "$(dirname "$0")/common.sh"

# The most are about the servers, which are the same for both drivers.
case ${2:-overlayfs}/${SITESNAP_TEST_ALL:-} in
btrfs/) SWITCHES=80 ;;
*) SWITCHES=1000 ;;
esac
SWITCHES=${SITESNAP_TEST_SWITCHES:-$SWITCHES}
NAMES='app-1 app-2 app-3 app-4'
EACH=$((SWITCHES / 4))
e2e_begin

prepared() {
        local name

        for name in $NAMES; do
                PORT=$(port_free) && app_add "$name" || return 1
                ctl upgrade "$name" --label two -- "$WORLD/bin/upgrade-app" two || return 1
                ctl mark "$name" 1 good && app_expect "$PORT" two || return 1
                echo "200 http://127.0.0.1:$PORT/ notes=" >"$WORLD/urls-$name"
        done
}

# switch NAME: Back and forth while it is visited; the one line of the visitors is in load-NAME.
switch() {
        local name=$1 pid i result

        "$BUILD/tests/e2e/load" -c 4 -s code= -l "$SITES/$name/current" -f stamp.txt \
                "$WORLD/urls-$name" >"$WORLD/load-$name" &
        pid=$!
        for ((i = 0; i < EACH; i++)); do
                ctl activate "$name" "$((1 + i % 2))" -q || break
        done
        kill -TERM "$pid"
        wait "$pid"
        result=$?
        echo "$name: $i switches, $(cat "$WORLD/load-$name")"
        [ "$i" -eq "$EACH" ] && [ "$result" -eq 0 ]
}

switched() {
        local name pids='' pid began ended result=0

        began=$(date +%s%N)
        for name in $NAMES; do
                switch "$name" &
                pids="$pids $!"
        done
        for pid in $pids; do
                wait "$pid" || result=1
        done
        ended=$(date +%s%N)
        echo "$SWITCHES switches, $(((ended - began) / EACH / 1000000)) ms each" | tee "$WORLD/rate"
        return $result
}

# Neither mounts nor trees of versions that were left pile up.
nothing_piles_up() {
        local name mounts trees

        for name in $NAMES; do
                mounts=$(grep -cF "$SITES/$name/versions/" /proc/self/mountinfo)
                echo "$name: $mounts mounts"
                [ "$mounts" -le 12 ] || return 1
        done
        trees=$(find "$WORLD/state" -name state.db-wal -size +64M | wc -l)
        echo "$trees large logs"
        [ "$trees" -eq 0 ]
}

need 'two versions of each site are there' prepared
check "$SWITCHES switches under 16 connections: 0 failed, 0 torn, 0 stale" switched
measured "$DRIVER: $(cat "$WORLD/rate"); $(tail -qn 1 "$WORLD"/load-* | paste -sd ";")"
check 'nothing piles up' nothing_piles_up
tap_done
