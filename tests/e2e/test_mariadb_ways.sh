#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Two sites in one MariaDB database, told apart by their tables' prefix: one is copied by the server's
# files over its socket, with a password from a file, the other by rows over TCP, with a password from
# systemd's credentials.  Each is upgraded by a command that migrates, rolled back and given back,
# without the other's tables, and what only looks like ours on the server stays.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/../lib/database.sh"

for program in mariadbd mariadb mariadb-install-db mkfs.xfs; do
        command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] ||
                tap_skip "no $program on this machine"
done
[ -e /dev/loop-control ] || tap_skip 'needs loop devices'

end() {
        mariadb_end
        umount "$WORLD/clones" 2>/dev/null
        leave
}

# A file system that clones, for the server's directory.
begin_server() {
        mkdir "$WORLD/clones" && truncate -s 800M "$WORLD/clones.img" &&
                mkfs.xfs -q -m reflink=1 "$WORLD/clones.img" &&
                mount -o loop "$WORLD/clones.img" "$WORLD/clones" &&
                MARIADB_PORT=$(port_free) && mariadb_begin "$WORLD/clones/mariadb"
}

export CREDENTIALS_DIRECTORY=
e2e_begin
trap end EXIT
begin_server || { echo 'Bail out! no MariaDB'; exit 1; }
mariadb_site shops one
mariadb_sql "CREATE USER sitesnap@127.0.0.1 IDENTIFIED BY '$(cat "$MARIADB_SECRET")';
        GRANT ALL PRIVILEGES ON shops.* TO sitesnap@127.0.0.1 WITH GRANT OPTION;
        GRANT ALL PRIVILEGES ON \`snap%\`.* TO sitesnap@127.0.0.1 WITH GRANT OPTION;
        CREATE USER two@127.0.0.1 IDENTIFIED BY 'two';
        GRANT ALL PRIVILEGES ON shops.* TO two@127.0.0.1"

# The migrator of both: the database that its configuration names, and its own tables.
cat >"$WORLD/bin/migrate" <<END
#!/bin/sh
set -e
database=\$(sed -n 's/^database = //p' config.ini) prefix=\$(sed -n 's/^prefix = //p' config.ini)
echo two >release
. $WORLD/login.\$prefix
mariadb --no-defaults -h 127.0.0.1 -P $MARIADB_PORT -u "\$user" -e "ALTER TABLE \${prefix}posts ADD COLUMN seen int;
        INSERT INTO \${prefix}posts VALUES (90000, 'migrated', 1)" "\$database"
END
chmod 755 "$WORLD/bin/migrate"
mariadb_sql "CREATE USER one@127.0.0.1 IDENTIFIED BY '$MARIADB_PASSWORD';
        GRANT ALL PRIVILEGES ON shops.* TO one@127.0.0.1"
printf 'user=one MYSQL_PWD=%s\nexport MYSQL_PWD\n' "$MARIADB_PASSWORD" >"$WORLD/login.one_"
printf 'user=two MYSQL_PWD=two\nexport MYSQL_PWD\n' >"$WORLD/login.two_"

# prepared NAME: Its directory, and its tables in the database of both: 10 MB, and a small one.
prepared() {
        mkdir -p "$SITES/www/$1/uploads" && echo one >"$SITES/www/$1/release" &&
                printf 'database = shops\nprefix = %s_\n' "$1" >"$SITES/www/$1/config.ini" &&
                chown -R "$OWNER": "$SITES/www/$1" &&
                mariadb_sql "USE shops; CREATE TABLE shops.${1}_posts (id int PRIMARY KEY, text varchar(600)) ENGINE=InnoDB;
                        INSERT INTO shops.${1}_posts SELECT seq, REPEAT(SHA2(seq, 512), 4) FROM seq_1_to_16000;
                        CREATE TABLE shops.${1}_options (name varchar(64) PRIMARY KEY) ENGINE=InnoDB;
                        INSERT INTO shops.${1}_options VALUES ('a')"
}

# added NAME OPTION...
added() {
        local name=$1

        shift
        ctl site add "$name" --home "$SITES/$name" --owner "$OWNER" --driver "$DRIVER" \
                --pool "$SITES/pool/$name" --adopt "$SITES/www/$name" --shared uploads \
                --database mariadb:shops --database-option "table_prefix=${name}_" \
                --set 'config.ini ini database {database}' \
                --database-option user=sitesnap --database-option run_as=daemon "$@" \
                -- "$WORLD/bin/migrate" && ctl site check "$name"
}

added_by_files() {
        prepared one && added one --database-option "socket=$MARIADB_SOCKET" \
                --database-option "secret_file=$MARIADB_SECRET" --database-option way=files \
                --database-option app_user=one@127.0.0.1
}
added_by_tcp() {
        mkdir -m 700 "$WORLD/credentials" && cp "$MARIADB_SECRET" "$WORLD/credentials/shopdb" &&
                chmod 400 "$WORLD/credentials/shopdb" && daemon_stop &&
                export CREDENTIALS_DIRECTORY="$WORLD/credentials" && daemon_start &&
                prepared two && added two --database-option host=127.0.0.1 \
                --database-option "port=$MARIADB_PORT" --database-option secret_credential=shopdb \
                --database-option app_user=two@127.0.0.1
}

# A password that others can read is refused before it is used.
secret_is_kept() {
        chmod 644 "$MARIADB_SECRET" || return 1
        ctl site check one >"$WORLD/check.out" 2>&1
        chmod 600 "$MARIADB_SECRET"
        cat "$WORLD/check.out"
        grep -q "root's alone" "$WORLD/check.out" && ctl site check one
}

# Without its grant the way is refused, with what gives it; nothing was begun.
grant_is_asked_for() {
        ctl upgrade one --dry-run >"$WORLD/plan" 2>&1 && return 1
        grep -q 'GRANT RELOAD, SUPER ON' "$WORLD/plan" || { cat "$WORLD/plan"; return 1; }
        mariadb_sql 'GRANT RELOAD, SUPER ON *.* TO sitesnap@localhost'
}

way_is_told() {
        ctl upgrade one --dry-run >"$WORLD/plan" && cat "$WORLD/plan" && grep -qw files "$WORLD/plan" &&
                ctl upgrade one --dry-run --json | python3 -c 'import json, sys
def find(at):
    if isinstance(at, dict):
        if at.get("way") == "files":
            print(at)
            return True
        return any(find(v) for v in at.values())
    return isinstance(at, list) and any(find(v) for v in at)
sys.exit(0 if find(json.load(sys.stdin)) else 1)' &&
                ctl upgrade two --dry-run >"$WORLD/plan" && grep -qw snapshot "$WORLD/plan"
}

# rows SITE: What the served version's configuration leads to.
rows() {
        mariadb_sql "SELECT COUNT(*) FROM $(sed -n 's/^database = //p' "$SITES/$1/current/config.ini").${1}_posts"
}

# kept SITE: The database of the version before the active one.
kept() {
        ctl list "$1" --json --columns number,database | python3 -c 'import json, sys
versions = {v["number"]: v["database"] for v in json.load(sys.stdin)["versions"]}
print(versions[sorted(versions)[-2]])'
}

# Nothing of the other site is in the copy, and nobody's live rows were touched.
upgraded_and_back() {
        local other

        [ "$1" = one ] && other=two || other=one
        ctl upgrade "$1" && [ "$(cat "$SITES/$1/current/release")" = two ] && [ "$(rows "$1")" = 16001 ] &&
                [ "$(mariadb_sql "SHOW TABLES FROM $(kept "$1")" | sort | tr '\n' ' ')" = "$1_options $1_posts " ] &&
                ctl rollback "$1" && [ "$(cat "$SITES/$1/current/release")" = one ] && [ "$(rows "$1")" = 16000 ] &&
                [ "$(mariadb_sql "SELECT COUNT(*) FROM shops.${other}_posts")" = "$2" ]
}

# Rows do not pass through the server's INSERT.
by_files() {
        local before after

        before=$(mariadb_sql "SHOW GLOBAL STATUS LIKE 'Innodb_rows_inserted'" | cut -f 2)
        ctl upgrade one -- /bin/true || return 1
        after=$(mariadb_sql "SHOW GLOBAL STATUS LIKE 'Innodb_rows_inserted'" | cut -f 2)
        [ $((after - before)) -lt 1000 ] && [ "$(rows one)" = 16000 ]
}

kept_is_read_only() {
        local database

        database=$(kept one)
        printf 'one cannot write to %s\n' "$database"
        (. "$WORLD/login.one_" && mariadb --no-defaults -h 127.0.0.1 -P "$MARIADB_PORT" -u one \
                -e 'SELECT COUNT(*) FROM one_posts' "$database") &&
                ! (. "$WORLD/login.one_" && mariadb --no-defaults -h 127.0.0.1 -P "$MARIADB_PORT" -u one \
                        -e 'DELETE FROM one_posts' "$database")
}

stray_is_told_and_stays() {
        mariadb_sql 'CREATE DATABASE snap987_one; CREATE TABLE snap987_one.rows (id int)'
        ctl site check one >"$WORLD/check.out" 2>&1
        cat "$WORLD/check.out"
        grep -q "snap987_one.*nothing is done to it" "$WORLD/check.out" &&
                ctl upgrade one -- /bin/true && ctl prune one -y >/dev/null 2>&1
        [ "$(mariadb_sql "SHOW TABLES FROM snap987_one")" = rows ]
}

# The passwords are nowhere that is kept or shown.
no_secret_is_seen() {
        ! grep -rqaF "$(cat "$MARIADB_SECRET")" "$WORLD/state" "$WORLD/log" "$WORLD/run" "$WORLD/conf"
}

# Of the keeper and of the driver's process nobody stays.
nobody_is_left() {
        for _ in 1 2 3 4 5 6 7 8 9 10; do
                [ "$(mariadb_sql "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'sitesnap'")" = 0 ] &&
                        [ "$(pgrep -u mysql | wc -l)" = 1 ] && return 0
                sleep 0.5
        done
        pgrep -u mysql -a
        return 1
}

given_back() {
        ctl site remove "$1" -y && [ -f "$SITES/www/$1/release" ] &&
                [ "$(mariadb_sql 'SELECT COUNT(*) FROM shops.one_posts')" -ge 16000 ] &&
                [ "$(mariadb_sql 'SELECT COUNT(*) FROM shops.two_posts')" -ge 16000 ]
}

need 'a site with a prefix, over a socket, is adopted' added_by_files
need 'its neighbour in the same database, over TCP with a credential' added_by_tcp
check 'a password that others can read is refused' secret_is_kept
need 'the right that the way needs is asked for' grant_is_asked_for
check 'the dry run tells the way of each' way_is_told
check 'by files: migrated and rolled back, the neighbour is not in it' upgraded_and_back one 16000
check 'by files: no rows pass' by_files
check 'by rows over TCP: migrated and rolled back, the neighbour is not in it' upgraded_and_back two 16001
check 'a kept copy is not written by its site' kept_is_read_only
check 'a database that looks like a copy is told, and stays' stray_is_told_and_stays
check 'no password is kept or shown' no_secret_is_seen
check 'no process and no connection is left' nobody_is_left
for site in one two; do
        check "$site: given back, both have their rows" given_back $site
done
tap_done
