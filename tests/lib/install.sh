# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# packages_install: Every package of tests/lib/packages is installed, and none of its services
# runs because of that.  apt is asked only when something is missing, so a machine that has
# everything needs no network and no root.

# One name a line, those of the list that are not installed, and that nothing installed provides.
packages_missing() {
        local list=$1 name rest there

        there=$(dpkg-query -W -f '${db:Status-Status}:${Package},${Provides}\n' |
                sed -n 's/([^)]*)//g; s/ //g; s/^installed://p' | tr ',' '\n')
        while read -r name rest; do
                case $name in '' | '#'*) continue ;; esac
                grep -qxF -- "$name" <<<"$there" || echo "$name"
        done <"$list"
}

# services_forbid / services_allow: While a policy-rc.d that answers 101 lies in /usr/sbin, packages
# do not start what they install.  One that was there before comes back.
services_forbid() {
        local policy=/usr/sbin/policy-rc.d

        [ ! -e $policy ] || mv $policy $policy.sitesnap-saved
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
}

services_allow() {
        local policy=/usr/sbin/policy-rc.d

        rm -f $policy
        [ ! -e $policy.sitesnap-saved ] || mv $policy.sitesnap-saved $policy
}

# cluster_forbid / cluster_allow: PostgreSQL's packages make a cluster when they are installed,
# unless a file says no.
cluster_file=/etc/postgresql-common/createcluster.d/sitesnap-tests.conf

cluster_forbid() {
        mkdir -p "${cluster_file%/*}"
        echo 'create_main_cluster = false' >$cluster_file
}

cluster_allow() {
        rm -f $cluster_file
}

packages_install() (
        list=$(dirname "${BASH_SOURCE[0]}")/packages
        missing=$(packages_missing "$list")
        [ -n "$missing" ] || exit 0
        # shellcheck disable=SC2086
        echo "installing:" $missing
        if [ "$(id -u)" -ne 0 ]; then
                echo "not root: install these packages first, or run this as root" >&2
                exit 1
        fi
        export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
        services_forbid
        cluster_forbid
        trap 'services_allow; cluster_allow' EXIT
        trap 'exit 1' INT TERM HUP
        # shellcheck disable=SC2086
        apt-get -qq update &&
                apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends -y $missing >/dev/null
)
