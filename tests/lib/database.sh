# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Servers of our own, MariaDB and PostgreSQL: data, socket and log below one directory, no network
# (MariaDB on 127.0.0.1 when MARIADB_PORT is set, with MARIADB_OPTIONS), ended by their process ids.  sitesnap and a site have passwords.
#
#   mariadb_begin DIR            start it; sets MARIADB_SOCKET
#   mariadb_run                  start it again, after it was killed
#   mariadb_end                  stop it
#   mariadb_sql SQL              as its administrator, who is root; tab-separated rows
#   mariadb_site NAME USER       a database and its user, and what sitesnap needs of it; sets
#                                MARIADB_PASSWORD (the site's) and MARIADB_SECRET (a file with sitesnap's)
#
#   postgres_begin DIR [METHOD]  start it; who connects is known by METHOD (trust; scram-sha-256); sets
#                                POSTGRES_SOCKET, the directory of the socket
#   postgres_end                 stop it
#   postgres_sql DATABASE SQL    as its administrator
#   postgres_site NAME USER      a database and its user, and a role sitesnap that may nothing yet;
#                                sets POSTGRES_PASSWORD (the site's) and POSTGRES_SECRET

# password_new WORD: One that nobody has had.
password_new() {
        echo "$1-$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')"
}

MARIADB_DIR='' MARIADB_PID='' MARIADB_PORT='' MARIADB_OPTIONS=() MARIADB_SOCKET='' MARIADB_PASSWORD='' MARIADB_SECRET=''

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
        local network=(--skip-networking)

        [ -z "$MARIADB_PORT" ] || network=(--bind-address=127.0.0.1 --port="$MARIADB_PORT" --skip-name-resolve)
        rm -f "$MARIADB_SOCKET"
        # A server that starts removes every temporary table in its directory for them, those of others too.
        /usr/sbin/mariadbd --no-defaults --user=mysql --datadir="$MARIADB_DIR/data" --tmpdir="$MARIADB_DIR/tmp" \
                --socket="$MARIADB_SOCKET" "${network[@]}" --pid-file="$MARIADB_DIR/pid" \
                --innodb-buffer-pool-size=64M --innodb-log-file-size=16M \
                --character-set-server=utf8mb4 "${MARIADB_OPTIONS[@]}" \
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

        secret=$(password_new sesame)
        MARIADB_PASSWORD=$(password_new site)
        MARIADB_SECRET=$(dirname "$MARIADB_DIR")/mariadb.secret
        (umask 077 && echo "$secret" >"$MARIADB_SECRET")
        mariadb_sql "CREATE DATABASE $1 CHARACTER SET utf8mb4;
                CREATE USER $2@localhost IDENTIFIED BY '$MARIADB_PASSWORD';
                GRANT ALL PRIVILEGES ON $1.* TO $2@localhost;
                CREATE USER sitesnap@localhost IDENTIFIED BY '$secret';
                GRANT ALL PRIVILEGES ON $1.* TO sitesnap@localhost WITH GRANT OPTION;
                GRANT ALL PRIVILEGES ON \`snap%\`.* TO sitesnap@localhost WITH GRANT OPTION;"
}

POSTGRES_BIN=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
POSTGRES_DIR='' POSTGRES_SOCKET='' POSTGRES_ADMIN='' POSTGRES_PASSWORD='' POSTGRES_SECRET=''

# The server refuses to be root's.
as_postgres() {
        setpriv --reuid=postgres --regid=postgres --init-groups "$@"
}

postgres_begin() {
        POSTGRES_DIR=$1 POSTGRES_SOCKET=$1 POSTGRES_ADMIN=$(password_new admin)
        mkdir "$1" && echo "$POSTGRES_ADMIN" >"$1/admin" && chmod 600 "$1/admin" &&
                chown -R postgres: "$1" &&
                as_postgres "$POSTGRES_BIN/initdb" -D "$1/data" -A "${2:-trust}" --pwfile="$1/admin" \
                        -E UTF8 --locale=C.UTF-8 >/dev/null &&
                as_postgres "$POSTGRES_BIN/pg_ctl" -D "$1/data" -w -l "$1/log" \
                        -o "-c listen_addresses='' -c unix_socket_directories='$1' \
                                -c dynamic_shared_memory_type=mmap" start \
                        >/dev/null </dev/null
}

postgres_end() {
        [ ! -e "$POSTGRES_DIR/data/postmaster.pid" ] ||
                as_postgres "$POSTGRES_BIN/pg_ctl" -D "$POSTGRES_DIR/data" -m fast stop >/dev/null 2>&1
}

postgres_sql() {
        PGPASSWORD=$POSTGRES_ADMIN psql -h "$POSTGRES_SOCKET" -U postgres -d "$1" -AtqX \
                -v ON_ERROR_STOP=1 -c "$2"
}

postgres_site() {
        local secret

        secret=$(password_new sesame)
        POSTGRES_PASSWORD=$(password_new site)
        POSTGRES_SECRET=$(dirname "$POSTGRES_DIR")/postgres.secret
        (umask 077 && echo "$secret" >"$POSTGRES_SECRET")
        postgres_sql postgres "CREATE ROLE $2 LOGIN PASSWORD '$POSTGRES_PASSWORD'" &&
                postgres_sql postgres "CREATE ROLE sitesnap LOGIN PASSWORD '$secret'" &&
                postgres_sql postgres "CREATE DATABASE $1 OWNER $2"
}
