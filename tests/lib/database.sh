# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# A MariaDB server of our own: data, socket and log below one directory, no network, ended by its
# process id.  root is who connects as root; sitesnap and a site have passwords.
#
#   mariadb_begin DIR            start it; sets MARIADB_SOCKET
#   mariadb_run                  start it again, after it was killed
#   mariadb_end                  stop it
#   mariadb_sql SQL              as its administrator; tab-separated rows
#   mariadb_site NAME USER       a database and its user, and what sitesnap needs of it; sets
#                                MARIADB_PASSWORD (the site's) and MARIADB_SECRET (a file with sitesnap's)

MARIADB_DIR='' MARIADB_PID='' MARIADB_SOCKET='' MARIADB_PASSWORD='' MARIADB_SECRET=''

mariadb_begin() {
        MARIADB_DIR=$1 MARIADB_SOCKET=$1/sock
        mkdir -p "$MARIADB_DIR/data" "$MARIADB_DIR/tmp"
        chown -R mysql: "$MARIADB_DIR"
        mariadb-install-db --no-defaults --user=mysql --datadir="$MARIADB_DIR/data" \
                --tmpdir="$MARIADB_DIR/tmp" \
                --skip-test-db --auth-root-authentication-method=socket \
                >"$MARIADB_DIR/install.log" 2>&1 || { tail -5 "$MARIADB_DIR/install.log" >&2; return 1; }
        mariadb_run
}

mariadb_run() {
        rm -f "$MARIADB_SOCKET"
        # A server that starts removes every temporary table in its directory for them, those of others too.
        /usr/sbin/mariadbd --no-defaults --user=mysql --datadir="$MARIADB_DIR/data" --tmpdir="$MARIADB_DIR/tmp" \
                --socket="$MARIADB_SOCKET" --skip-networking --pid-file="$MARIADB_DIR/pid" \
                --innodb-buffer-pool-size=64M --innodb-log-file-size=16M \
                --character-set-server=utf8mb4 \
                >"$MARIADB_DIR/error.log" 2>&1 </dev/null &
        MARIADB_PID=$!
        for _ in $(seq 150); do
                mariadb_sql 'SELECT 1' >/dev/null 2>&1 && return 0
                kill -0 "$MARIADB_PID" 2>/dev/null || break
                sleep 0.2
        done
        tail -n 10 "$MARIADB_DIR/error.log" >&2
        return 1
}

mariadb_end() {
        [ -n "$MARIADB_PID" ] || return 0
        kill "$MARIADB_PID" 2>/dev/null
        wait "$MARIADB_PID" 2>/dev/null
        MARIADB_PID=''
}

mariadb_sql() {
        mariadb --no-defaults -S "$MARIADB_SOCKET" -u root -N -B -e "$1"
}

mariadb_site() {
        local secret

        secret=sesame-$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')
        MARIADB_PASSWORD=site-$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')
        MARIADB_SECRET=$(dirname "$MARIADB_DIR")/mariadb.secret
        (umask 077 && echo "$secret" >"$MARIADB_SECRET")
        mariadb_sql "CREATE DATABASE $1 CHARACTER SET utf8mb4;
                CREATE USER $2@localhost IDENTIFIED BY '$MARIADB_PASSWORD';
                GRANT ALL PRIVILEGES ON $1.* TO $2@localhost;
                CREATE USER sitesnap@localhost IDENTIFIED BY '$secret';
                GRANT ALL PRIVILEGES ON $1.* TO sitesnap@localhost WITH GRANT OPTION;
                GRANT ALL PRIVILEGES ON \`snap%\`.* TO sitesnap@localhost WITH GRANT OPTION;"
}
