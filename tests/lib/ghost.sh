# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Ghost on SQLite, from npm, by the node that is here.  Its binding to SQLite is Debian's, since what
# npm has is compiled for minutes.  Needs fetch.sh, web.sh and wiki.sh (as_user).
#
#   ghost_can                               say what is missing, and fail
#   ghost_fetch VERSION                     print the tree's path
#   ghost_install VERSION DOCROOT DATA PORT USER BACKEND   at this port of nginx, before that of node
#   ghost_serve DOCROOT USER                it runs until ghost_end, and again after each ghost_restart;
#                                           DOCROOT may be a symlink that is switched
#   ghost_set_up PORT                       it has an owner

GHOST_DIR=''

ghost_can() {
        command -v npm >/dev/null || { echo 'npm is not installed'; return 1; }
        case $(node -p process.versions.node 2>/dev/null) in
        18.* | 20.* | 22.*) ;;
        *) echo 'Ghost 5 needs node 18, 20 or 22'; return 1 ;;
        esac
}

ghost_fetch() {
        cached "ghost-$1" stub/libnode.so.108 ghost_make "$1"
}

ghost_make() {
        local debian=$PWD/debian

        npm pack --silent "ghost@$1"
        mkdir tree
        tar -xzf ./ghost-*.tgz -C tree --strip-components 1
        packages_unpack "$debian" bookworm node-sqlite3
        cd tree || return
        python3 -c '
import json
package = json.load(open("package.json"))
package.pop("devDependencies", None)
json.dump(package, open("package.json", "w"))'
        npm install --silent --no-audit --no-fund --omit=dev --legacy-peer-deps --ignore-scripts
        mkdir -p node_modules/sqlite3/build/Release stub
        cp "$debian"/usr/lib/*/nodejs/sqlite3/lib/binding/napi-v6-*/node_sqlite3.node \
                node_modules/sqlite3/build/Release/
        # It asks for Debian's library of node; what it needs of that is in any node.
        echo 'int libnode_is_in_the_program;' | gcc -shared -x c - -o stub/libnode.so.108 \
                -Wl,-soname,libnode.so.108
        chmod -R u+rwX,go+rX .
}

ghost_install() {
        local tree docroot=$2 data=$3 port=$4 user=$5 backend=$6

        tree=$(ghost_fetch "$1") || return 1
        mkdir -p "$docroot" "$data"
        cp -a --no-preserve=ownership "$tree/." "$docroot/"
        cat >"$docroot/config.production.json" <<END
{
        "url": "http://127.0.0.1:$port/",
        "server": { "host": "127.0.0.1", "port": $backend },
        "database": { "client": "sqlite3", "useNullAsDefault": true,
                "connection": { "filename": "$data/ghost.db" } },
        "mail": { "transport": "Direct", "from": "press@example.org" },
        "logging": { "transports": ["stdout"], "level": "info" },
        "privacy": { "useTinfoil": true }
}
END
        chown -R "$user": "$docroot" "$data"
        cat >"$WEB_DIR/sites/ghost.conf" <<END
                server {
                        listen 127.0.0.1:$port;
                        location / {
                                proxy_set_header Host \$http_host;
                                proxy_pass http://127.0.0.1:$backend;
                        }
                }
END
}

# As a unit of systemd would: once, until it is told to start again.
ghost_serve() {
        local docroot=$1 user=$2 pid

        GHOST_DIR=$WEB_DIR/ghost
        mkdir -p "$GHOST_DIR"
        while [ ! -e "$GHOST_DIR/end" ]; do
                rm -f "$GHOST_DIR/restart"
                (cd "$(readlink -f "$docroot")" && as_user "$user" NODE_ENV=production \
                        LD_LIBRARY_PATH="$PWD/stub" node index.js) >>"$GHOST_DIR/log" 2>&1 &
                pid=$!
                while [ ! -e "$GHOST_DIR/end" ] && [ ! -e "$GHOST_DIR/restart" ]; do
                        kill -0 $pid 2>/dev/null || : >"$GHOST_DIR/died"
                        sleep 0.2
                done
                pkill -TERM -P $pid 2>/dev/null
                kill -TERM $pid 2>/dev/null
                wait $pid
                rm -f "$GHOST_DIR/died"
        done
}

# ghost_up PORT: It has started, or has died.
ghost_up() {
        for _ in $(seq 600); do
                [ ! -e "$WEB_DIR/ghost/died" ] || return 0
                web_get "$1" / && [ "$WEB_STATUS" != 502 ] && [ "$WEB_STATUS" != 503 ] && return 0
                sleep 0.2
        done
        return 1
}

# What root runs after each switch.
ghost_restart_write() {
        cat >"$1" <<END
#!/bin/sh
: >$WEB_DIR/ghost/restart
while [ -e $WEB_DIR/ghost/restart ]; do sleep 0.1; done
for i in \$(seq 1200); do
        [ ! -e $WEB_DIR/ghost/died ] || exit 0
        case \$(curl -s -m 5 -o /dev/null -w '%{http_code}' http://127.0.0.1:$2/) in
        000 | 502 | 503) sleep 0.2 ;;
        *) exit 0 ;;
        esac
done
END
        chmod 755 "$1"
}

ghost_set_up() {
        curl -s -m 60 -H 'Content-Type: application/json' -H "Origin: http://127.0.0.1:$1" \
                -d '{"setup": [{"name": "Bea Writer", "email": "bea@example.org",
                     "password": "vYq7-carrot-lamp", "blogTitle": "Snapshot press"}]}' \
                "http://127.0.0.1:$1/ghost/api/admin/authentication/setup/" | grep -q '"users"'
}
