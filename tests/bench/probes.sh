#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# probes.sh [BUILD [SITES [SECONDS]]]: What probing 2,000 sites every 10 s takes, at an nginx on the
# loopback; then as fast as the prober can, beside curl and wrk doing the same requests.  The server
# has the other core: see uptime before believing anything.  Fails above 64 MB or 25 % of a core by
# http; by https the server must keep up with handshakes, so that is printed only.
set -u
BUILD=$(readlink -f "${1:-build}") SITES=${2:-2000} SECONDS_=${3:-30}
DIR=$(mktemp -d "${TMPDIR:-/var/tmp}/sitesnap-probes.XXXXXX") NGINX='' MUTE='' MOST=''
chmod 755 "$DIR"
trap '[ -z "$NGINX" ] || kill "$NGINX"; [ -z "$MUTE" ] || kill "$MUTE"; [ -z "$MOST" ] || kill "$MOST"; wait; rm -rf "$DIR"' EXIT
. "$(dirname "$0")/../lib/web.sh"
PORT=$(port_free) TLS_PORT=$((PORT + 1)) MUTE_PORT=$((PORT + 2)) SLOW_PORT=$((PORT + 3)) MOST_PORT=$((PORT + 4))
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$DIR/key" -out "$DIR/cert" -subj /CN=bench \
        -days 2 2>/dev/null
ulimit -n 16384

cat >"$DIR/nginx.conf" <<END
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid $DIR/nginx.pid;
error_log $DIR/nginx.log;
events { worker_connections 8192; }
http {
        access_log off;
        keepalive_requests 1000000;
        client_body_temp_path $DIR/body;
        proxy_temp_path $DIR/proxy;
        fastcgi_temp_path $DIR/fastcgi;
        uwsgi_temp_path $DIR/uwsgi;
        scgi_temp_path $DIR/scgi;
        ssl_certificate $DIR/cert;
        ssl_certificate_key $DIR/key;
        server { listen $PORT backlog=4096; listen $TLS_PORT ssl backlog=4096; location / { return 200 "a page of nginx, of $(printf '%0500d' 0) bytes\n"; } }
        server { listen $SLOW_PORT ssl backlog=4096; location / { proxy_pass http://127.0.0.1:$MUTE_PORT; } }
}
END
nginx -e "$DIR/nginx.log" -p "$DIR" -c "$DIR/nginx.conf" >"$DIR/said" 2>&1 </dev/null &
NGINX=$!
for _ in $(seq 50); do
        (: <"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && break
        sleep 0.1
done

# Takes connections and says nothing.
python3 - "$MUTE_PORT" <<'END' &
import socket, sys
listener = socket.create_server(('', int(sys.argv[1])), backlog=4096)
taken = []
while True:
    taken = taken[-4000:] + [listener.accept()[0]]
END
MUTE=$!

# Sends most of a page and then nothing.
python3 - "$MOST_PORT" <<'END' &
import socket, sys
page = b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n' + 63000 * b'x'
listener = socket.create_server(('', int(sys.argv[1])), backlog=4096)
taken = []
while True:
    one = listener.accept()[0]
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
    one.setblocking(False)
    one.send(page)
    taken = taken[-4000:] + [one]
END
MOST=$!

probes() {
        mkdir -p "$DIR/run"
        "$BUILD/tests/bench/probes" "$DIR/run" "$@"
}

# rate NAME REQUESTS COMMAND...: Requests for each second of the processor that COMMAND took.
rate() {
        local name=$1 requests=$2 used

        shift 2
        used=$({ TIMEFORMAT='%U %S'; time "$@" >/dev/null 2>&1; } 2>&1)
        echo "$name $requests $used" |
                awk '{ printf "%s: %.0f requests per second of a core\n", $1, $2 / ($3 + $4) }'
}

uptime
probes "$PORT" "$SITES" "$SECONDS_" 10000 | tee "$DIR/result"
probes "$PORT" "$SITES" "$SECONDS_" 10000 own | tee -a "$DIR/result"
probes "$TLS_PORT" "$SITES" "$SECONDS_" 10000 tls | tee -a "$DIR/result"
echo 'where nobody answers:'
probes "$MUTE_PORT" "$SITES" "$SECONDS_" 10000 tls | tee -a "$DIR/result"
echo 'where nobody answers after the handshake:'
probes "$SLOW_PORT" "$SITES" "$SECONDS_" 10000 tls | tee -a "$DIR/result"
echo 'where all send most of a page:'
probes "$MOST_PORT" "$SITES" "$SECONDS_" 10000 own | tee -a "$DIR/result"
probes "$PORT" 200 10 200

seq 20000 | sed "s,.*,url = \"http://127.0.0.1:$PORT/?sitesnap=&\"\noutput = /dev/null," >"$DIR/urls"
rate curl 20000 curl -s -K "$DIR/urls"
if command -v wrk >/dev/null; then
        { TIMEFORMAT='%U %S'; time wrk -t1 -c16 -d5s "http://127.0.0.1:$PORT/?sitesnap=1" >"$DIR/wrk"; } 2>"$DIR/used"
        awk -v n="$(awk '/requests in/ { print $1 }' "$DIR/wrk")" \
                '{ printf "wrk: %.0f requests per second of a core\n", n / ($1 + $2) }' "$DIR/used"
else
        echo 'wrk: skipped, it is not installed'
fi
# "... (1.6 % of a core, ...), 18.4 MB at most; ..."
sed 's/.*(\([0-9.]*\) % of a core.*, \([0-9.]*\) MB at most.*/\1 \2/' "$DIR/result" |
        awk '$1 > 25 || $2 > 64 || NF != 2 { bad = 1 } END { exit bad }'
