#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The judge is judged first: the load generator finds wrong answers where they are planted, and
# nothing where versions are switched the right way.
. "$(dirname "$0")/common.sh"

world_begin "$DRIVER" || { echo 'Bail out! no world'; exit 1; }
PORT=$(port_free) ROOT=$WORLD/disk
web_begin "$WORLD/web" "$OWNER"

served() {
        app_install one "$ROOT/versions/1" "$ROOT/data1" "$OWNER" &&
                app_install two "$ROOT/versions/2" "$ROOT/data2" "$OWNER" &&
                ln -s versions/1 "$ROOT/current" && web_site app "$PORT" "$ROOT/current" &&
                web_start && app_expect "$PORT" one
}

# Always in a subshell; it becomes the program, so that a signal meets the right process.
load() {
        exec "$BUILD/tests/e2e/load" -s code= -l "$ROOT/current" -f stamp.txt "$@" "$WORLD/urls"
}

# finds WHAT BODY: A page that says BODY is counted as WHAT in every request.
finds() {
        printf '%s' "$2" >"$ROOT/versions/1/page.txt"
        echo "200 http://127.0.0.1:$PORT/page.txt notes" >"$WORLD/urls"
        exits 1 ' failed' load -c 2 -t 1 >"$WORLD/load" && cat "$WORLD/load" &&
                ! grep -q " 0 $1" "$WORLD/load" && ! grep -q '^0 requests' "$WORLD/load"
}

finds_status() {
        echo "200 http://127.0.0.1:$PORT/nothing.txt notes" >"$WORLD/urls"
        mv "$ROOT/versions/1/index.php" "$ROOT/versions/1/away.php"
        exits 1 ' failed' load -c 2 -t 1 | tee "$WORLD/load"
        mv "$ROOT/versions/1/away.php" "$ROOT/versions/1/index.php"
        ! grep -q ' 0 failed' "$WORLD/load"
}

finds_silence() {
        echo "200 http://127.0.0.1:$(port_free)/ notes" >"$WORLD/urls"
        exits 1 ' failed' load -c 2 -t 1 | tee "$WORLD/load"
        ! grep -q ' 0 failed' "$WORLD/load"
}

silent_when_right() {
        local pid i

        echo "200 http://127.0.0.1:$PORT/ notes=" >"$WORLD/urls"
        load -c 8 >"$WORLD/load" &
        pid=$!
        for i in $(seq 300); do
                ln -s "versions/$((1 + i % 2))" "$ROOT/next" && mv -T "$ROOT/next" "$ROOT/current"
        done
        kill -TERM $pid
        wait $pid
        cat "$WORLD/load" && grep -q ' 0 failed, 0 torn, 0 stale' "$WORLD/load"
}

need 'the small site is served' served
check 'an answer of two versions is torn' finds torn 'code=one code=two notes'
check 'an answer of the version before is stale' finds stale 'code=two code=two notes'
check 'an answer without its text failed' finds failed 'code=one code=one'
check 'an answer without stamps failed' finds failed 'notes'
check 'another status failed' finds_status
check 'no server failed' finds_silence
check '300 switches by symlink are all right' silent_when_right
measured "plain symlink switches: $(cat "$WORLD/load")"
tap_done
