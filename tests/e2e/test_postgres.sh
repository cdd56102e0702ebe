#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A site on PostgreSQL, once with a database of its own and once with a schema in one that it shares:
# upgraded by a command that migrates, rolled back, compared, pruned, given back.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/../lib/database.sh"

[ -x "$POSTGRES_BIN/initdb" ] || tap_skip 'no PostgreSQL server on this machine'
command -v psql >/dev/null || tap_skip 'no psql on this machine'
e2e_begin
trap 'postgres_end; leave' EXIT
postgres_begin "$WORLD/pg" || { echo 'Bail out! no PostgreSQL'; exit 1; }

# What the application's migrator does, in the database or schema that its configuration names.
cat >"$WORLD/bin/migrate" <<END
#!/bin/sh
set -e
database=\$(sed -n 's/^database = //p' config.ini) schema=\$(sed -n 's/^schema = //p' config.ini)
echo two >release
PGOPTIONS="-c search_path=\$schema" psql -h "$WORLD/pg" -U app -d "\$database" -qX -v ON_ERROR_STOP=1 \\
        -c "ALTER TABLE posts ADD COLUMN seen int" -c "INSERT INTO posts VALUES (1000, 'migrated', 1)"
END
chmod 755 "$WORLD/bin/migrate"

# prepared NAME DATABASE SCHEMA: The site's directory and its tables.
prepared() {
        mkdir -p "$SITES/www/$1/uploads" && echo one >"$SITES/www/$1/release" &&
                printf 'database = %s\nschema = %s\n' "$2" "$3" >"$SITES/www/$1/config.ini" &&
                chown -R "$OWNER": "$SITES/www/$1" &&
                postgres_sql "$2" "SET ROLE app; SET search_path = $3;
                        CREATE TABLE posts (id int PRIMARY KEY, text text);
                        INSERT INTO posts SELECT i, 'post ' || i FROM generate_series(1, 500) AS i"
}

# added NAME OPTION...
added() {
        local name=$1

        shift
        ctl site add "$name" --home "$SITES/$name" --owner "$OWNER" --driver "$DRIVER" \
                --pool "$SITES/pool/$name" --adopt "$SITES/www/$name" --shared uploads \
                --database-option "socket=$WORLD/pg" --database-option user=postgres \
                --database-option run_as=postgres --database-option app_user=app "$@" \
                -- "$WORLD/bin/migrate" && ctl site check "$name"
}

own_database() {
        postgres_sql postgres 'CREATE ROLE app LOGIN' && postgres_sql postgres 'CREATE DATABASE shop OWNER app' &&
                prepared shop shop public &&
                added shop --database postgres:shop --set 'config.ini ini database {database}'
}
own_schema() {
        postgres_sql postgres 'CREATE DATABASE apps' && postgres_sql apps 'CREATE SCHEMA wiki AUTHORIZATION app' &&
                prepared wiki apps wiki &&
                added wiki --database postgres:wiki --database-option database=apps \
                        --set 'config.ini ini schema {database_schema}' \
                        --set 'config.ini ini database {database_name}'
}

# rows SITE: What the served version's configuration leads to.
rows() {
        postgres_sql "$(sed -n 's/^database = //p' "$SITES/$1/current/config.ini")" \
                "SELECT count(*) FROM $(sed -n 's/^schema = //p' "$SITES/$1/current/config.ini").posts"
}

upgraded_and_back() {
        ctl upgrade "$1" && [ "$(cat "$SITES/$1/current/release")" = two ] &&
                [ "$(rows "$1")" = 501 ] && ctl rollback "$1" &&
                [ "$(cat "$SITES/$1/current/release")" = one ] && [ "$(rows "$1")" = 500 ]
}

compared() {
        ctl schema-diff "$1" 1 2 | grep -q '^+ .*seen' &&
                ctl lost-writes "$1" 1 2 --sql "$WORLD/$1.sql" --json >"$WORLD/$1.lost" &&
                grep -q "INSERT INTO .*'migrated'" "$WORLD/$1.sql" &&
                python3 -c 'import json, sys
tables = json.load(open(sys.argv[1]))["tables"]
assert [t["inserted"] for t in tables] == [1], tables' "$WORLD/$1.lost"
}

given_back() {
        local database

        database=$(ctl show "$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["database"])')
        ctl site remove "$1" -y && [ "$(cat "$SITES/www/$1/release")" = one ] &&
                grep -q "= $database\$" "$SITES/www/$1/config.ini"
}

for site in shop wiki; do
        if [ $site = shop ]; then
                need 'a site with a database of its own is adopted' own_database
        else
                need 'a site with a schema in a database is adopted' own_schema
        fi
        check "$site: migrated, and rolled back to the rows it had" upgraded_and_back $site
        check "$site: the change of schema and rows are told" compared $site
        check "$site: given back, its configuration names what it has" given_back $site
done
tap_done
