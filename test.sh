#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# ./test.sh [--all] [--sanitize | --valgrind] [SUITE...]
#
# Builds and runs the tests; no SUITE means all of them: unit conformance db crash e2e guard lint.
# The last line is "N passed, N failed, N skipped", counting single cases; the reason of every skipped
# case stands above it.  Fails when a case failed, and when none ran.
# Each line comes as its test ends, after the minutes and seconds since the run began.  A run that a
# signal ends says what was running, sums up what had ended, and fails.
#
# --all: every point of the crash matrix over the real daemon, of which an ordinary run takes a
# sample that changes with the commit, and a thousand switches under load on btrfs too.
#
# Missing packages are installed (Debian 12, root).  Whatever a test mounts, it mounts in a mount
# namespace that ends with this script.

set -u
cd "$(dirname "$(readlink -f "$0")")" || exit 1
. tests/lib/install.sh

if [ "${1:-}" = --all ]; then
        export SITESNAP_TEST_ALL=1
        shift
fi
build="build-test"
setup=(-Dwerror=true -Dfault=true)
run=()
case ${1:-} in
--sanitize)
        build="build-sanitize"
        setup+=('-Db_sanitize=address,undefined' -Db_lundef=false)
        # A path that errors out of a forked child leaks by design; tests look at parents only.
        export ASAN_OPTIONS=abort_on_error=0:detect_stack_use_after_return=1
        export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
        run=(--timeout-multiplier 4)
        shift
        ;;
--valgrind)
        wrapper="env LD_PRELOAD=$PWD/$build/tests/unit/realcall.so valgrind -q --error-exitcode=99"
        run=(--wrapper "$wrapper --leak-check=full --errors-for-leak-kinds=definite"
                --timeout-multiplier 20)
        shift
        ;;
--help | -h)
        sed -n '4,18s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
esac

known=' unit conformance db crash e2e guard lint '
[ $# -gt 0 ] || set -- unit conformance db crash e2e guard lint
for suite; do
        case $known in
        *" $suite "*) run+=(--suite "$suite") ;;
        *) echo "no suite '$suite' (there are:$known)" >&2; exit 2 ;;
        esac
done

log=$build/meson-logs/build.txt
doing='nothing' child=

say() { printf '[%2d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"; }

summary() { python3 tests/lib/summary.py "$@" $build/meson-logs/testlog*.json; } # a wrapper's name is a part of it

# beside COMMAND...: what takes long runs beside this shell, which thereby hears signals meanwhile.
beside() {
        "$@" &
        child=$!
        wait "$child"
}

# told_by SIGNAL: What is known by now is said before what is running has ended, for which there may be
# no time.  Meson writes down what it knows when it is told to end.
told_by() {
        local n

        trap '' TERM INT HUP
        say "ended by SIG$1 while $doing"
        [ -z "$child" ] || ps -ww -o etimes=,args= --ppid "$child" | sed 's/^/    running for s: /' | cut -c1-160
        [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
        sleep 0.2
        if [ "$doing" = testing ]; then
                summary --ended "ended by SIG$1 after $((SECONDS / 60)) min $((SECONDS % 60)) s"
        elif [ "$doing" = building ]; then
                tail -n 3 $log
        fi
        for ((n = 0; n < 30; n++)); do
                kill -0 "$child" 2>/dev/null || break
                sleep 0.1
        done
        exit $((128 + $(kill -l "$1")))
}
for signal in TERM INT HUP; do
        # shellcheck disable=SC2064
        trap "told_by $signal" $signal
done

# What meson says when a test ended.  Its own lists of failures are left out: the summary has them
# case by case.
each_test() {
        local line

        trap '' TERM INT HUP
        while IFS= read -r line; do
                [[ ! $line =~ ^\ *[0-9]+/[0-9]+\  ]] || say "$line"
        done
}

build() {
        if [ -e $build/build.ninja ]; then
                meson configure $build "${setup[@]}" >/dev/null || return 1
        else
                meson setup $build "${setup[@]}" >/dev/null || { meson setup $build "${setup[@]}"; return 1; }
        fi
        exec ninja -C $build >$log 2>&1
}

say "$(uname -sr), $(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg), $(sed -n 's/^MemTotal: *//p' /proc/meminfo)"
doing='installing packages'
beside packages_install || exit 1
doing=building
say 'packages are installed, building'
beside build || { cat $log; say 'not built'; exit 1; }
say 'built, testing'

# Private first, so that nothing leaves this namespace; then shared inside it, as mounts are on a
# real server.  Without root there is no namespace, and tests that need one skip themselves.
apart=()
if [ "$(id -u)" -eq 0 ]; then
        apart=(unshare --mount --propagation private --
                sh -c 'mount --make-rshared / && exec "$@"' sh)
fi
rm -f $build/meson-logs/testlog*.json
exec {lines}> >(each_test)
reader=$!
doing=testing
# One more than there are processors, as most of what runs side by side waits.
"${apart[@]}" meson test -C $build --no-rebuild --num-processes $(($(nproc) + 1)) "${run[@]}" >&"$lines" {lines}>&- &
child=$!
exec {lines}>&-
wait "$child"
wait "$reader"
say tested
doing='summing up' child=
summary
