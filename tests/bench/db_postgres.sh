#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/bench/db_postgres.sh [BUILD [ext4|xfs [MB [TURNS]]]]
#
# A database of PostgreSQL copied by the driver, and by what else copies one, in turns: seconds, as
# a multiple of `pg_dump -j2`, disk, and what a client that writes meanwhile waited at most.  A
# server of its own on a loop image below /var/tmp; needs root.
set -u
BUILD=$(readlink -f "${1:-build}") FS=${2:-ext4} MB=${3:-1000} TURNS=${4:-3}
here=$(dirname "$(readlink -f "$0")")
. "$here/disk.sh"
if [ "${APART:-}" != yes ]; then
        APART=yes exec unshare -m --propagation private "$0" "$@"
fi
DIR=$(mktemp -d /var/tmp/sitesnap-bench.XXXXXX) server='' writer=''
BIN=$(echo /usr/lib/postgresql/*/bin | tr ' ' '\n' | tail -1)
leave() {
        [ -z "$writer" ] || kill "$writer"
        [ -z "$server" ] || kill -INT "$(head -1 "$DIR/disk/pg/postmaster.pid")"
        wait
        umount "$DIR/disk"
        rm -rf "$DIR"
}
trap leave EXIT
trap 'exit 1' INT TERM HUP

as_postgres() {
        exec setpriv --reuid postgres --regid postgres --clear-groups env TMPDIR="$DIR/disk/tmp" "$@"
}
pg() {
        psql -qAtX -v ON_ERROR_STOP=1 -h "$DIR/disk" -U postgres "$@"
}
begin() {
        truncate -s $((MB / 60 + 4))G "$DIR/image"
        "mkfs.$FS" -q "$DIR/image" && mkdir "$DIR/disk" && disk_mount "$DIR/image" "$DIR/disk" || exit 1
        mkdir "$DIR/disk/pg" "$DIR/disk/tmp" && chown postgres "$DIR" "$DIR/disk" "$DIR/disk/pg" "$DIR/disk/tmp" || exit 1
        (as_postgres "$BIN/initdb" -D "$DIR/disk/pg" -A trust --no-locale -E UTF8) >"$DIR/log" || exit 1
        as_postgres "$BIN/postgres" -D "$DIR/disk/pg" -k "$DIR/disk" -c listen_addresses= \
                -c shared_buffers=256MB -c max_wal_size=2GB >>"$DIR/log" 2>&1 &
        server=$!
        for _ in $(seq 300); do
                pg -d postgres -c '' 2>/dev/null && break
                sleep 0.1
        done
        pg -d postgres -c 'CREATE ROLE shop LOGIN' -c 'CREATE ROLE sitesnap LOGIN CREATEDB' \
                -c 'GRANT shop TO sitesnap' -c 'CREATE DATABASE site OWNER shop' \
                -c 'GRANT CREATE ON DATABASE site TO sitesnap' || exit 1
        pg -d site -v mb="$MB" -f "$here/db_postgres.sql" >/dev/null || exit 1
        base=$(pg -d site -c "SELECT oid FROM pg_database WHERE datname = 'site'")
        echo "$(pg -d site -c 'SELECT pg_size_pretty(pg_database_size(current_database()))') on $FS, $("$BIN/postgres" --version), load $(cut -d' ' -f1 /proc/loadavg)"
}

# Each method makes a copy; clear() takes every copy away again.
by_schema() {
        "$BUILD/tests/bench/db_postgres" copy "$DIR/disk" sitesnap site site snap1_site >"$DIR/said"
}
by_database() {
        "$BUILD/tests/bench/db_postgres" copy "$DIR/disk" sitesnap - site snap2_site >"$DIR/said"
}
by_files() {
        "$BUILD/tests/bench/db_postgres" copy "$DIR/disk" sitesnap - site snap3_site files >"$DIR/said"
}
by_dump() {
        pg -d postgres -c 'CREATE DATABASE other'
        pg_dump -h "$DIR/disk" -U postgres site | pg -d other >/dev/null
}
by_dump_2() {
        pg -d postgres -c 'CREATE DATABASE other'
        pg_dump -h "$DIR/disk" -U postgres -Fd -j2 -f "$DIR/disk/tmp/dump" site &&
                pg_restore -h "$DIR/disk" -U postgres -j2 -d other "$DIR/disk/tmp/dump"
}
by_template() {
        pg -d postgres -c 'CREATE DATABASE other TEMPLATE site STRATEGY FILE_COPY'
}
by_template_wal() {
        pg -d postgres -c 'CREATE DATABASE other TEMPLATE site STRATEGY WAL_LOG'
}
by_cp() {
        pg -d postgres -c CHECKPOINT
        cp -r --reflink=never "$DIR/disk/pg/base/$base" "$DIR/disk/tmp/cp" && sync -f "$DIR/disk"
}
by_nothing() {
        sleep 5
}
clear_all() {
        local name

        for name in $(pg -d postgres -c "SELECT datname FROM pg_database WHERE datname ~ '^(other|snap)'"); do
                pg -d postgres -c "DROP DATABASE $name WITH (FORCE)"
        done
        pg -d site -c 'SET client_min_messages = error; DROP SCHEMA IF EXISTS snap1_site CASCADE'
        rm -rf "$DIR/disk/tmp/dump" "$DIR/disk/tmp/cp"
        pg -d site -c 'TRUNCATE site.told'
        pg -d postgres -c CHECKPOINT
        sync -f "$DIR/disk"
}
used() {
        df --output=used -k "$DIR/disk" | tail -1
}

# turn NAME WRITER?: Seconds, MB and the longest write into files of that name.
turn() {
        local begun before took

        clear_all
        before=$(used)
        if [ "$2" = yes ]; then
                "$BUILD/tests/bench/db_postgres" write "$DIR/disk" shop site site.told >"$DIR/wrote" &
                writer=$!
                sleep 0.5
        fi
        begun=${EPOCHREALTIME/./}
        : >"$DIR/said"
        "by_$1" || { echo "$1 failed"; exit 1; }
        took=$((${EPOCHREALTIME/./} - begun))
        if [ -n "$writer" ]; then
                kill "$writer"
                wait "$writer"
                writer=
        fi
        pg -d postgres -c CHECKPOINT
        printf '%-14s %7.2f s %6d MB disk  %s  %s\n' "$1" "$((took / 1000))e-3" $((($(used) - before) / 1024)) \
                "$([ "$2" != yes ] || cat "$DIR/wrote")" "$(cat "$DIR/said")" | tee -a "$DIR/results"
}

begin
for ((i = 0; i < TURNS; i++)); do
        for method in ${METHODS:-nothing dump_2 schema database dump files template template_wal cp}; do
                case $method in
                template* | cp) turn "$method" no ;; # nobody else may be in it
                *) turn "$method" yes ;;
                esac
        done
done
awk '$1 == "dump_2" { base[++n] = $2 } { times[$1] = times[$1] " " $2; count[$1]++ }
        END { for (name in times) { m = split(times[name], t, " "); asort(t); asort(base)
                printf "%-14s least %.2f median %.2f s: %.2f and %.2f of pg_dump -j2\n", name, t[1], t[int((m + 1) / 2)],
                        t[1] / base[1], t[int((m + 1) / 2)] / base[int((n + 1) / 2)] } }' "$DIR/results" 2>/dev/null | sort
