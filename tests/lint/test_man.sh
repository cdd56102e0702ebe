#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test_man.sh SOURCE: Every manual page is well formed, and refers only to pages that exist: ours,
# or those of other packages that are named here.
source=$1
# shellcheck source=tests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
trap 'rm -f "$TAP_OUTPUT"' EXIT

command -v mandoc >/dev/null || tap_skip 'mandoc is not installed'

# Pages of ours are not installed here, so that mandoc's own look for them says nothing.
well_formed() {
        local found

        found=$(mandoc -Tlint -W style "$1" 2>/dev/null | grep -v 'referenced manual not found')
        [ -z "$found" ] || { printf '%s\n' "$found"; return 1; }
}

references_exist() {
        local name section bad=0

        while read -r name section; do
                case "$name $section" in
                'systemd 1' | 'openat2 2' | 'btrfs 8' | 'nginx 8' | 'snapper 8') continue ;;
                esac
                [ -e "$source/data/$name.$section" ] || [ -e "$source/data/$name.$section.in" ] ||
                        { echo "there is no $name($section)"; bad=1; }
        done < <(sed -n 's/^\.Xr \([^ ]*\) \([0-9]\).*/\1 \2/p' "$1")
        return $bad
}

for page in "$source"/data/*.[1-8]; do
        check "$(basename "$page") is well formed" well_formed "$page"
        check "$(basename "$page") refers to pages that exist" references_exist "$page"
done
tap_done
