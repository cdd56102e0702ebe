#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/bench/daemon_rss.sh [BUILD [SITES [VERSIONS]]]
#
# What the daemon's memory is with many sites (1,000 with 10 versions each), after every route that
# lists was asked, and how long the lists take.  Fails above 20 MB.  Needs root.

set -eu
cd "$(dirname "$(readlink -f "$0")")/../.."
build=${1:-build} sites=${2:-1000} versions=${3:-10}
dir=$(mktemp -d /var/tmp/sitesnap-bench.XXXXXX)
chmod 755 "$dir"
pid=
trap '[ -z "$pid" ] || kill "$pid"; rm -rf "$dir"' EXIT

"$build/tests/bench/many_sites" "$dir" "$sites" "$versions"
unshare --mount --propagation private -- "$build/snapd/snapd" --state "$dir/state" \
        --run "$dir/run" --conf "$dir/conf" --socket "$dir/run/s" 2>"$dir/log" &
pid=$!
ask() {
        curl -sS -o "$dir/answer" -w '%{time_total}\n' --unix-socket "$dir/run/s" "http://x$1"
}
for _ in $(seq 300); do
        [ -S "$dir/run/s" ] && break
        sleep 0.1
done
memory() {
        awk -v what="$1" '$1 == "VmRSS:" { printf "%s %.1f MB\n", what, $2 / 1024 }' "/proc/$pid/status"
}
ask /v1 >/dev/null
memory 'after the start:'
for _ in 1 2 3 4 5; do
        printf 'list of %s sites: %s s\n' "$sites" "$(ask /v1/sites)"
done
for ((i = 0; i < sites; i += 10)); do
        ask "/v1/sites/site-$i/versions" >/dev/null
done
printf 'list of %s versions: %s s\n' "$versions" "$(ask /v1/sites/site-7/versions)"
ask /v1/status >/dev/null
ask '/v1/operations?limit=1000' >/dev/null
memory "after asking about $sites sites:"
awk '$1 == "VmRSS:" { exit $2 > 20 * 1024 }' "/proc/$pid/status"
