#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# bash -e tests/lib/fetching.sh FUNCTION ARG...: One of the functions that make a tree, for `cached`
# of fetch.sh.
lib=$(dirname "$(readlink -f "$0")")
for part in fetch wordpress roundcube ghost; do
        # shellcheck disable=SC1090
        . "$lib/$part.sh"
done
"$@"
