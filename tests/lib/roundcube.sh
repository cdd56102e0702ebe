# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Roundcube on SQLite: releases 1.6.5 and 1.6.18, with one form of database.  It is asked for
# its login page, for which it has no mail server.  Needs fetch.sh, web.sh and wiki.sh (as_user).
#
#   roundcube_fetch VERSION                      print the tree's path
#   roundcube_install VERSION DOCROOT DATA USER
#   roundcube_verify PORT VERSION

roundcube_fetch() {
        cached "roundcube-$1" program/include/iniset.php roundcube_make "$1"
}

roundcube_make() {
        local suite root=$PWD/root

        case $1 in
        1.6.5) suite=bookworm ;;
        1.6.18) suite=trixie ;;
        *) echo "Roundcube $1 is in no known suite (1.6.5, 1.6.18)" >&2; return 1 ;;
        esac
        packages_unpack "$root" "$suite" roundcube-core php-pear php-net-smtp \
                php-net-socket php-net-sieve php-auth-sasl php-mail-mime php-masterminds-html5
        links_inward "$root"
        cp -rL --preserve=mode,timestamps "$root/usr/share/roundcube" tree
        cp -r "$root/usr/share/php/." tree/program/lib/
        mkdir tree/config tree/temp tree/logs
        cp "$root/etc/roundcube/"*.inc.php "$root/etc/roundcube/mimetypes.php" tree/config/
        # Debian's is in one place; as it is published, it is where it lies.
        sed -i "s#'/var/lib/roundcube/'#dirname(__DIR__, 2) . '/'#" tree/program/include/iniset.php
        sed -i "s#'/var/lib/roundcube/'#dirname(__DIR__) . '/'#" tree/bin/*.sh
        rm -rf tree/installer
        chmod -R u+rwX,go+rX tree
}

roundcube_install() {
        local tree docroot=$2 data=$3 user=$4

        tree=$(roundcube_fetch "$1") || return 1
        mkdir -p "$docroot" "$data"
        cp -a --no-preserve=ownership "$tree/." "$docroot/"
        cat >"$docroot/config/config.inc.php" <<END
<?php
\$config['db_dsnw'] = 'sqlite:///$data/mail.db?mode=0640';
\$config['default_host'] = '127.0.0.1';
\$config['des_key'] = '$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')';
\$config['product_name'] = 'Snapshot mail';
\$config['plugins'] = [];
\$config['skin'] = 'elastic';
END
        echo "$1" >"$docroot/stamp.txt"
        sqlite3 "$data/mail.db" <"$docroot/SQL/sqlite.initial.sql" &&
                chown -R "$user": "$docroot" "$data"
}

roundcube_verify() {
        web_expect "$1" / 200 'Snapshot mail' && web_expect "$1" / 200 rcmloginuser &&
                web_expect "$1" /stamp.txt 200 "$2"
}
