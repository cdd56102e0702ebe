#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test_docs.sh SOURCE: What the documentation points to is there: files of this tree, and the test
# cases that docs/reliability.md names as proof.
source=$1
# shellcheck source=tests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
trap 'rm -f "$TAP_OUTPUT"' EXIT
cd "$source" || exit 1

# Words in backticks that look like a path of ours; a trailing :, * or line is no part of it.
files_exist() {
        local path bad=0

        while read -r path; do
                [ -e "$path" ] || compgen -G "$path" >/dev/null ||
                        { echo "$1 names '$path', which is not there"; bad=1; }
        done < <(grep -o '`[^`]*`' "$1" | tr -d '`' |
                grep -oE '^\.?/?(common|fsdrivers|dbdump|snapd|snapctl|data|docs|tests|demo|\.ci)(/[A-Za-z0-9_.*/-]+|\.sh)' |
                sort -u)
        return $bad
}

# `FILE: CASE`, and further `CASE`s up to the next file.
cases_exist() {
        local item file='' name n=0 bad=0

        while read -r item; do
                case $item in
                tests/*:*) file=${item%%:*} name=${item#*: } ;;
                tests/*) file=$item name='' ;;
                *) name=$item ;;
                esac
                [ -n "$name" ] || continue
                n=$((n + 1))
                grep -qE "^TEST\($name\)|['\"](\\\$name: )?$name['\"]" "$file" ||
                        { echo "'$file' has no case '$name'"; bad=1; }
        done < <(grep '^|' "$1" | sed 's/.*|\([^|]*\)|$/\1/' | grep -o '`[^`]*`' | tr -d '`' |
                grep -E '^tests/|^[a-z][a-z_,; -]*[_ ][a-z_,; 0-9-]*$')
        [ "$n" -gt 20 ] || { echo "only $n cases are named"; bad=1; }
        return $bad
}

# A check that finds nothing wrong must be one that could have.
planted_are_found() {
        local dir status=1

        dir=$(mktemp -d /var/tmp/sitesnap-docs.XXXXXX)
        { cat docs/reliability.md; echo '| x | y | `tests/unit/test_site.c: no_such_case` |'; } >"$dir/a.md"
        echo 'see `snapd/no_such.c`' >"$dir/b.md"
        cases_exist "$dir/a.md" || files_exist "$dir/b.md" || status=0
        rm -rf "$dir"
        return $status
}

for page in README.md CONTRIBUTING.md SECURITY.md docs/*.md tests/bench/*.md; do
        [ ! -e "$page" ] || check "$page names files that are there" files_exist "$page"
done
check 'every case that is named as a proof exists' cases_exist docs/reliability.md
check 'what is planted is found' planted_are_found
tap_done
