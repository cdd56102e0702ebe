#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The lines that web-config prints, taken as they are by nginx and by apache: a site is switched
# under load and no request fails, is torn or stale.  Only the place of the PHP pool is filled in.
. "$(dirname "$0")/common.sh"

SWITCHES=${SITESNAP_TEST_SWITCHES:-60}
e2e_begin

prepared() {
        app_add app && ctl upgrade app --label two -- "$WORLD/bin/upgrade-app" two &&
                ctl mark app 1 good
}

printed() {
        ctl web-config app "$1" | sed "s,/run/php/php-fpm.sock,$WEB_DIR/php.sock,"
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
        web_apache "$APACHE_PORT" "$OWNER" < <(printed apache) || return 1
        app_expect "$APACHE_PORT" "$1" || { cat "$WEB_DIR/apache/log"; return 1; }
}

# switched PORT: Back and forth, and back to where it was.
switched() {
        local pid i result

        echo "200 http://127.0.0.1:$1/ notes=" >"$WORLD/urls"
        "$BUILD/tests/e2e/load" -c 8 -s code= -l "$SITES/app/current" -f stamp.txt \
                "$WORLD/urls" >"$WORLD/load" &
        pid=$!
        for i in $(seq "$SWITCHES"); do
                ctl activate app "$((1 + (i + 1) % 2))" -q || break
        done
        kill -TERM "$pid"
        wait "$pid"
        result=$?
        cat "$WORLD/load"
        [ "$i" -eq "$SWITCHES" ] && [ "$result" -eq 0 ]
}

need 'two versions are there' prepared
need 'nginx serves by the printed lines' nginx_serves
check "$SWITCHES switches by nginx: 0 failed, 0 torn, 0 stale" switched "$PORT"
measured "printed lines, nginx, $DRIVER: $(cat "$WORLD/load")"
if command -v apache2 >/dev/null; then
        APACHE_PORT=$(port_free)
        need 'apache serves by the printed lines' apache_serves two
        check "$SWITCHES switches by apache: 0 failed, 0 torn, 0 stale" switched "$APACHE_PORT"
        measured "printed lines, apache, $DRIVER: $(cat "$WORLD/load")"
else
        for name in 'apache serves by the printed lines' 'switches by apache'; do
                TAP_N=$((TAP_N + 1))
                echo "ok $TAP_N - $name # SKIP apache2 is not installed"
        done
fi
tap_done
