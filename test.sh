#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# ./test.sh [--all] [--sanitize | --valgrind] [SUITE...]
#
# Builds and runs the tests; no SUITE means all of them: unit conformance db crash e2e guard lint.
# The last line is "N passed, N failed, N skipped", counting single cases; the reason of every skipped
# case stands above it.  Fails when a case failed, and when none ran.
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
        sed -n '4,16s/^# \{0,1\}//p' "$0"
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

packages_install || exit 1
if [ -e $build/build.ninja ]; then
        meson configure $build "${setup[@]}" >/dev/null || exit 1
else
        meson setup $build "${setup[@]}" >/dev/null || { meson setup $build "${setup[@]}"; exit 1; }
fi
log=$build/meson-logs/build.txt
ninja -C $build >$log 2>&1 || { cat $log; exit 1; }

# Private first, so that nothing leaves this namespace; then shared inside it, as mounts are on a
# real server.  Without root there is no namespace, and tests that need one skip themselves.
apart=()
if [ "$(id -u)" -eq 0 ]; then
        apart=(unshare --mount --propagation private --
                sh -c 'mount --make-rshared / && exec "$@"' sh)
fi
rm -f $build/meson-logs/testlog*.json
# One more than there are processors, as most of what runs side by side waits.  Meson's own lists of
# failures are left out: the summary has them case by case.
"${apart[@]}" meson test -C $build --no-rebuild --num-processes $(($(nproc) + 1)) "${run[@]}" | grep -E '^ *[0-9]+/[0-9]+ '
# A wrapper's name is a part of it.
exec python3 tests/lib/summary.py $build/meson-logs/testlog*.json
