#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test_export_servers.sh BUILD DRIVER mariadb|postgres: A site whose database is on a server leaves as
# a file while it is written to and comes back as a version; a file that is damaged or means harm does
# not.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/../lib/database.sh"

ENGINE=$3
PG=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
MARK=$(printf 'x%.0s' $(seq 120)) # what a stranger overwrites

as_postgres() {
        setpriv --reuid=postgres --regid=postgres --init-groups "$@"
}

mariadb_server() {
        mariadb_begin "$WORLD/server" && mariadb_site shop app
}
mariadb_server_end() {
        mariadb_end
}
# As the administrator: sql DATABASE STATEMENT.
mariadb_query() {
        mariadb --no-defaults -S "$MARIADB_SOCKET" -u root -N -B -e "$2" "$1"
}
mariadb_databases() {
        mariadb_sql 'SHOW DATABASES LIKE "snap%"' | grep -vx snap0_sitesnap
}
# As the site's user.
mariadb_as_app() {
        MYSQL_PWD=$MARIADB_PASSWORD mariadb --no-defaults -S "$MARIADB_SOCKET" -u app -N -B -e "$2" "$1"
}
mariadb_options() {
        printf '%s\n' "socket=$MARIADB_SOCKET" user=sitesnap run_as=daemon \
                "secret_file=$MARIADB_SECRET" app_user=app@localhost
}

postgres_server() {
        mkdir "$WORLD/server" && chown postgres: "$WORLD/server" &&
                as_postgres "$PG/initdb" -D "$WORLD/server/data" -A trust -E UTF8 \
                        --locale=C.UTF-8 >/dev/null &&
                as_postgres "$PG/pg_ctl" -D "$WORLD/server/data" -w -l "$WORLD/server/log" \
                        -o "-c listen_addresses='' -c unix_socket_directories='$WORLD/server' \
                                -c dynamic_shared_memory_type=mmap" \
                        start >/dev/null </dev/null &&
                postgres_query postgres 'CREATE ROLE app LOGIN' &&
                postgres_query postgres 'CREATE DATABASE shop OWNER app'
}
postgres_server_end() {
        [ ! -e "$WORLD/server/data/postmaster.pid" ] ||
                as_postgres "$PG/pg_ctl" -D "$WORLD/server/data" -m fast stop >/dev/null 2>&1
}
postgres_query() {
        psql -h "$WORLD/server" -U "${PGUSER:-postgres}" -d "$1" -AtqX -v ON_ERROR_STOP=1 -c "$2"
}
postgres_databases() {
        postgres_query postgres "SELECT datname FROM pg_database WHERE datname ~ '^snap' ORDER BY 1"
}
postgres_as_app() {
        PGUSER=app postgres_query "$@"
}
postgres_options() {
        printf '%s\n' "socket=$WORLD/server" user=postgres run_as=postgres app_user=app
}

sql() {
        "${ENGINE}_query" "$@"
}
databases() {
        "${ENGINE}_databases"
}

if [ "$ENGINE" = mariadb ]; then
        command -v mariadb-install-db >/dev/null || tap_skip 'no MariaDB server on this machine'
else
        [ -x "$PG/initdb" ] || tap_skip 'no PostgreSQL server on this machine'
fi
e2e_begin
FILE=$WORLD/live.tar.zst
trap '"${ENGINE}_server_end"; leave' EXIT
"${ENGINE}_server" || { echo 'Bail out! no server'; exit 1; }

# The comment is the longest thing in a definition, the first row the longest in the rows.
prepared() {
        local comment="COMMENT='$MARK'" definer='' option options=()

        mkdir -p "$SITES/www/shop/uploads" && echo one >"$SITES/www/shop/release" &&
                echo 'database = shop' >"$SITES/www/shop/config.ini" &&
                head -c 300000 /dev/urandom >"$SITES/www/shop/random" &&
                chown -R "$OWNER": "$SITES/www/shop" || return 1
        [ "$ENGINE" = mariadb ] || comment=''
        [ "$ENGINE" = mariadb ] || definer='SET ROLE app;'
        sql shop "$definer CREATE TABLE posts (id int PRIMARY KEY, text varchar(200)) $comment;
                CREATE TABLE twins (id int PRIMARY KEY, text varchar(200));
                INSERT INTO posts VALUES (1, '$MARK'), (2, 'it''s; -- \"all\" \\\\ of it');" || return 1
        [ "$ENGINE" = mariadb ] || sql shop "COMMENT ON TABLE posts IS '$MARK'; CREATE ROLE reader LOGIN;
                SET ROLE app; CREATE TABLE counted (id serial PRIMARY KEY, text varchar(200));
                CREATE VIEW seen AS SELECT count(*) AS n FROM counted; GRANT SELECT ON counted TO reader;
                INSERT INTO counted (text) VALUES ('one')" || return 1
        while read -r option; do
                options+=(--database-option "$option")
        done < <("${ENGINE}_options")
        ctl site add shop --home "$SITES/shop" --owner "$OWNER" --driver "$DRIVER" \
                --pool "$SITES/pool/shop" --adopt "$SITES/www/shop" --shared uploads \
                --database "$ENGINE:shop" "${options[@]}" \
                --set 'config.ini ini database {database}' -- /bin/true && ctl site check shop
}

# database_of VERSION
database_of() {
        ctl show shop "$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["database"])'
}

# Each write is to both tables; a file of one instant has both, or neither.
exported() {
        local before

        before=$(databases)
        (for i in $(seq 100 100000); do
                [ ! -e "$WORLD/stop" ] || exit 0
                sql shop "BEGIN; INSERT INTO posts VALUES ($i, 'live');
                        INSERT INTO twins VALUES ($i, 'live'); COMMIT" || exit 1
        done) &
        sleep 0.5
        ctl export shop 1 "$FILE" || return 1
        touch "$WORLD/stop" && wait $! && is "$(databases)" "$before" && ctl check shop
}

# What an application does, and its migrator.
used() {
        "${ENGINE}_as_app" "$1" "INSERT INTO twins VALUES (7, 'again'); UPDATE posts SET text = 'mine' WHERE id = 2;
                DELETE FROM posts WHERE id = 2; ALTER TABLE twins ADD more int;
                CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1); DROP TABLE posts"
}

# Owners and grants are not in a dump: all is the site's user's, and his to give.
given_anew() {
        [ "$ENGINE" = postgres ] || return 0
        is "$(PGUSER=reader postgres_query shop 'SELECT text FROM counted')" one &&
                refused 'permission denied' env PGUSER=reader psql -h "$WORLD/server" -d "$1" -c 'TABLE counted' &&
                is "$(postgres_as_app "$1" "INSERT INTO counted (text) VALUES ('two') RETURNING id")" 2 &&
                is "$(postgres_as_app "$1" 'GRANT SELECT ON counted TO reader; SELECT n FROM seen')" 2 &&
                is "$(PGUSER=reader postgres_query "$1" 'SELECT text FROM counted WHERE id = 2')" two
}

imported() {
        local database rows

        NUMBER=$(ctl -q -p import shop "$FILE") && has_state shop "$NUMBER" kept || return 1
        database=$(database_of "$NUMBER")
        rows=$(sql "$database" 'SELECT count(*) FROM twins')
        echo "$rows rows in '$database'"
        [ "$rows" -gt 0 ] && [ "$rows" -lt "$(sql shop 'SELECT count(*) FROM twins')" ] &&
                is "$(sql "$database" 'SELECT count(*) FROM posts')" $((rows + 2)) &&
                is "$(sql "$database" 'SELECT text FROM posts WHERE id = 1')" "$MARK" &&
                is "$(sql "$database" 'SELECT text FROM posts WHERE id = 2')" \
                        "$(sql shop 'SELECT text FROM posts WHERE id = 2')" &&
                refused denied used "$database" && ctl activate shop "$NUMBER" &&
                is "$(sed -n 's/^database = //p' "$SITES/shop/current/config.ini")" "$database" &&
                used "$database" && given_anew "$database" &&
                is "$(sql shop 'SELECT count(*) FROM posts')" "$(sql shop 'SELECT count(*) + 2 FROM twins')" &&
                ctl --wait activate shop 1 &&
                refused denied "${ENGINE}_as_app" "$database" 'INSERT INTO later VALUES (2)'
}

# forged DUMP-PIECE-SED: The dump says something else in the place of the mark, of the same length, and
# the manifest agrees with it.
forged() {
        zstd -dcq "$FILE" >"$WORLD/forged.tar" && python3 - "$WORLD/forged.tar" "$MARK" "$1" <<'END' &&
import hashlib, sys, tarfile
path, mark, evil = sys.argv[1], ("'%s'" % sys.argv[2]).encode(), sys.argv[3].encode()
with tarfile.open(path) as tar:
    dump, manifest = tar.getmember('database/00000000'), tar.getmember('manifest.json')
with open(path, 'r+b') as f:
    f.seek(dump.offset_data)
    content = f.read(dump.size)
    before = hashlib.sha256(content).hexdigest().encode()
    where = content.rindex(mark) if evil.startswith(b'(') else content.index(mark)
    content = content[:where] + evil.ljust(len(mark)) + content[where + len(mark):]
    f.seek(dump.offset_data)
    f.write(content)
    f.seek(manifest.offset_data)
    text = f.read(manifest.size)
    assert text.count(before) == 1
    f.seek(manifest.offset_data)
    f.write(text.replace(before, hashlib.sha256(content).hexdigest().encode()))
END
                zstd -qf "$WORLD/forged.tar" -o "$WORLD/forged.tar.zst"
}

# harmless TEXT FORGERY: It is refused with the text; nothing is left of it, and nothing is gone.
harmless() {
        local before rows

        before=$(databases) rows=$(sql shop 'SELECT count(*) FROM posts')
        forged "$2" && refused "$1" ctl import shop "$WORLD/forged.tar.zst" &&
                is "$(databases)" "$before" &&
                is "$(sql shop 'SELECT count(*) FROM posts')" "$rows" && ctl check shop &&
                [ ! -e /tmp/sitesnap-was-here ]
}

# refused TEXT COMMAND...: It fails, and says so.
refused() {
        local text=$1 said

        shift
        if said=$("$@" 2>&1); then
                echo "$said"
                return 1
        fi
        echo "$said" | tail -n 3
        [[ $said == *"$text"* ]]
}

cut_short() {
        local before

        before=$(databases)
        cp "$FILE" "$WORLD/short.tar.zst" && truncate -s -1500 "$WORLD/short.tar.zst" &&
                refused 'archive' ctl import shop "$WORLD/short.tar.zst" &&
                is "$(databases)" "$before"
}

full() {
        local r

        mkdir -p "$WORLD/small" && mount -t tmpfs -o size=64k tmpfs "$WORLD/small" || return 1
        refused 'o space' ctl export shop 1 "$WORLD/small/x.tar.zst"
        r=$?
        [ -z "$(ls "$WORLD/small")" ] || r=1
        umount "$WORLD/small"
        return $r
}

# The second is told that the first goes on; that one comes to its end.
two_at_once() {
        local before

        before=$(databases | wc -l)
        ctl --no-wait import shop "$FILE" >/dev/null &&
                refused 'is busy: import' ctl import shop "$FILE" && op_idle && ctl check shop &&
                is "$(databases | wc -l)" $((before + 1))
}

# Copies on the server are those of versions.
nothing_left() {
        is "$(databases | sort)" "$(ctl list shop --json --columns database | python3 -c 'import json, sys
for v in json.load(sys.stdin)["versions"]:
    print(v["database"])' | grep '^snap' | sort)"
}

# From the pivot on it goes forward.
killed() {
        local where op before

        before=$(databases)
        for where in bundle.load:before bundle.load:after catalog.commit:before; do
                daemon_stop
                SITESNAP_FAULT=kill@$where daemon_start || return 1
                op=$(ctl -p --no-wait import shop "$FILE") && op_waited "$op" || return 1
                daemon_stop
                daemon_start && op_idle && nothing_left || return 1
                [ "$where" = catalog.commit:before ] || is "$(databases)" "$before" || return 1
        done
        ctl check shop
}

need 'a site on a server is adopted' prepared
need 'it is exported while it is written to' exported
need 'and comes back as a version, of one instant' imported
if [ "$ENGINE" = mariadb ]; then
        check 'a dump that would read another table: refused' harmless "'('" \
                '(SELECT 1 FROM mysql.user)'
        check 'a dump that would write elsewhere: refused' harmless "'DATA'" \
                "'' DATA DIRECTORY='/tmp'"
        check 'a dump that has another statement: refused' harmless 'semicolon' \
                "''; DROP TABLE shop.posts; CREATE TABLE x (id INT)"
else
        check 'a dump that would drop what is live: refused' harmless '' \
                'NULL; DROP TABLE public.posts; DROP TABLE public.nothing'
        check 'a dump that would run a program: refused' harmless 'pg_execute_server_program' \
                "NULL; COPY (SELECT 1) TO PROGRAM 'touch /tmp/sitesnap-was-here'"
        check 'a dump that would be somebody else: refused' harmless '' \
                'NULL; RESET ROLE; DROP DATABASE shop'
fi
check 'cut short: refused' cut_short
check 'no room for the file: nothing is left of it' full
check 'two at once: one is made, the other is told' two_at_once
if grep -q SITESNAP_FAULT "$BUILD/snapd/snapd"; then
        check 'an import that was killed is whole or leaves no database' killed
else
        check 'an import that was killed # SKIP this build has no crash points' true
fi
tap_done
