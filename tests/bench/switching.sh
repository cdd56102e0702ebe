#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/bench/switching.sh [BUILD [overlayfs|btrfs [RUNS [MB]]]]
#
# What a person waits for: the flip beside the bare calls, `snapctl activate` of a site nobody
# visits, back and forth, and of one with a database of so many MB (1000) in turns with it, and
# `snapctl list` of a site with 1,000 versions.  Needs root.
set -u
BUILD=$(readlink -f "${1:-build}") DRIVER=${2:-overlayfs} RUNS=${3:-40} MB=${4:-1000}
lib=$(dirname "$(readlink -f "$0")")/../lib
for part in world web app operations; do
        # shellcheck disable=SC1090
        . "$lib/$part.sh"
done
world_apart "$@"
leave() {
        local status=$?

        world_end
        exit $status
}
trap leave EXIT
trap 'exit 1' INT TERM HUP

# timed FILE COMMAND...: Microseconds of wall clock, a line a run.
timed() {
        local file=$1 begun

        shift
        begun=${EPOCHREALTIME/./}
        "$@" >/dev/null 2>"$WORLD/said" || { cat "$WORLD/said"; exit 1; }
        echo $((${EPOCHREALTIME/./} - begun)) >>"$file"
}
# An operation that has ended still tidies up for a moment, and the next one of its site waits for
# that.
settled() {
        op_idle || exit 1
}
report() {
        sort -n "$2" | awk -v what="$1" '{ a[NR] = $1 }
                END { printf "%-44s %8.1f /%8.1f ms\n", what, a[1] / 1000, a[int((NR + 1) / 2)] / 1000 }'
}

# add NAME MB: A site with two versions, each with a database of so many MB.
add() {
        local name=$1 www=$WORLD/disk/www-$1 data=$WORLD/disk/data-$1

        app_install one "$www" "$data" www-data
        sqlite3 "$data/app.sqlite" "INSERT INTO notes (text) WITH RECURSIVE n(i) AS
                (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT $2 * 500) SELECT hex(randomblob(1000)) FROM n"
        chown www-data: "$data"/*
        ctl site add "$name" --home "$WORLD/disk/$name" --owner www-data --driver "$DRIVER" \
                --adopt "$www" --shared uploads --database "sqlite:$data" \
                --set 'config.php php-assign database_dir {database_dir}' -q &&
                ctl upgrade "$name" --label two -q -- "$WORLD/bin/upgrade-app" two
}

world_begin "$DRIVER" $((2000 + MB * 4))M || exit 1
# As /run is on a server: what is remembered there has nothing to sync.
mount -t tmpfs -o mode=755 run "$WORLD/run" || exit 1
echo "least / median, $DRIVER on $(stat -f -c %T "$WORLD/disk")"
mkdir "$WORLD/disk/flip" && "$BUILD/tests/bench/bench_flip" "$WORLD/disk/flip" || exit 1

daemon_start || exit 1
add app 1 && add big "$MB" || exit 1
settled
turn=0
for ((i = 0; i < RUNS; i++)); do
        timed "$WORLD/activate" ctl activate app $((turn++ % 2 + 1)) -q
        ctl ops follow "$(ctl ops app --limit 1 -p)" -q || exit 1
        settled
        timed "$WORLD/big" ctl activate big $((i % 2 + 1)) -q
        ctl ops follow "$(ctl ops big --limit 1 -p)" -q || exit 1
        settled
        timed "$WORLD/status" ctl status
done
for ((i = 0; i < RUNS; i++)); do
        timed "$WORLD/kept" ctl activate app $((turn++ % 2 + 1)) -q --wait
        settled
done
report 'snapctl activate' "$WORLD/activate"
report "with a database of $MB MB" "$WORLD/big"
report 'snapctl activate --wait' "$WORLD/kept"
report 'snapctl status, for comparison' "$WORLD/status"
daemon_stop

mkdir -m 755 "$WORLD/many" && "$BUILD/tests/bench/many_sites" "$WORLD/many" 1 1000 || exit 1
cp -r "$WORLD/many/conf/." "$WORLD/conf/" && rm -rf "$WORLD/state" &&
        cp -r "$WORLD/many/state" "$WORLD/state" && chmod 700 "$WORLD/state"
daemon_start || exit 1
for ((i = 0; i < RUNS; i++)); do
        timed "$WORLD/list" ctl list site-0
        timed "$WORLD/version" ctl version
done
report 'snapctl list, 1,000 versions' "$WORLD/list"
report 'snapctl version, for comparison' "$WORLD/version"
