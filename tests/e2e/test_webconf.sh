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

# A server of our own, beside nginx and before the same PHP.
apache_serves() {
        local module

        {
                echo "ServerRoot $WORLD/apache"
                echo "ServerName localhost"
                echo "PidFile pid"
                echo "ErrorLog log"
                echo "Listen 127.0.0.1:$APACHE_PORT"
                echo "User $OWNER"
                echo "Group $OWNER"
                echo "Mutex file:$WORLD/apache default"
                for module in mpm_event authz_core dir headers rewrite proxy proxy_fcgi; do
                        echo "LoadModule ${module}_module /usr/lib/apache2/modules/mod_$module.so"
                done
                echo "DirectoryIndex index.php"
                echo "<VirtualHost *:$APACHE_PORT>"
                printed apache
                echo "</VirtualHost>"
        } >"$WORLD/apache/conf"
        apache2 -f "$WORLD/apache/conf" -DFOREGROUND >"$WORLD/apache/said" 2>&1 </dev/null &
        WEB_PIDS="$WEB_PIDS $!"
        for _ in $(seq 100); do
                (: <"/dev/tcp/127.0.0.1/$APACHE_PORT") 2>/dev/null && break
                sleep 0.1
        done
        app_expect "$APACHE_PORT" "$1" || { cat "$WORLD/apache/said" "$WORLD/apache/log"; return 1; }
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
        mkdir "$WORLD/apache" && chmod 755 "$WORLD/apache"
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
