#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# db_mariadb.sh [BUILD [MB [RUNS [ext4|xfs|btrfs]...]]]: A database like WordPress's of so many MB
# (1000), copied on a server of our own by each way of the driver, by mariadb-dump | mariadb, by
# mydumper and myloader, and, as the limit, by cp of the same files, in turns, while a client writes.
# Seconds are the best of the runs (2); ratios are to the least of cp and of mariadb-dump in the same
# run on the same file system.  As root.
set -eu
BUILD=$(readlink -f "${1:-build}") MB=${2:-1000} RUNS=${3:-2}
shift $(($# < 3 ? $# : 3))
[ $# -gt 0 ] || set -- ext4 xfs
lib=$(dirname "$(readlink -f "$0")")/../lib
. "$lib/database.sh"
. "$lib/../bench/disk.sh"

WORK=$(mktemp -d /var/tmp/sitesnap-bench.XXXXXX)
chmod 755 "$WORK" # the server is not root
PASSWORD=bench
MARIADB_OPTIONS=(--innodb-buffer-pool-size=512M --innodb-log-file-size=256M)
trap 'mariadb_end; umount "$WORK/disk" 2>/dev/null || true; rm -rf "$WORK"' EXIT
trap 'exit 1' INT TERM HUP
command -v mydumper >/dev/null || apt-get install -y -q mydumper >/dev/null 2>&1 || echo 'no mydumper: not measured'

now() { date +%s.%N; }
used() { df --output=used -k "$WORK/disk" | tail -1; }

make_site() {
        mariadb_sql "CREATE USER sitesnap@localhost IDENTIFIED BY '$PASSWORD';
                GRANT ALL PRIVILEGES ON *.* TO sitesnap@localhost WITH GRANT OPTION;
                CREATE DATABASE site CHARACTER SET utf8mb4; USE site;
                CREATE TABLE beats (id int PRIMARY KEY, beat int NOT NULL) ENGINE=InnoDB;
                INSERT INTO beats SELECT seq, 0 FROM seq_1_to_100;
                CREATE TABLE wp_posts (ID bigint unsigned AUTO_INCREMENT PRIMARY KEY, post_author bigint NOT NULL,
                        post_date datetime NOT NULL, post_content longtext NOT NULL, post_title text NOT NULL,
                        post_status varchar(20) NOT NULL, post_name varchar(200) NOT NULL, post_type varchar(20) NOT NULL,
                        KEY post_name (post_name(191)), KEY type_status_date (post_type, post_status, post_date, ID),
                        KEY post_author (post_author)) ENGINE=InnoDB;
                CREATE TABLE wp_postmeta (meta_id bigint unsigned AUTO_INCREMENT PRIMARY KEY, post_id bigint NOT NULL,
                        meta_key varchar(255), meta_value longtext, KEY post_id (post_id), KEY meta_key (meta_key(191)))
                        ENGINE=InnoDB;
                CREATE TABLE wp_comments (comment_ID bigint unsigned AUTO_INCREMENT PRIMARY KEY, comment_post_ID bigint,
                        comment_author tinytext, comment_date datetime, comment_content text, KEY (comment_post_ID),
                        KEY (comment_date)) ENGINE=InnoDB;
                CREATE TABLE wp_options (option_id bigint unsigned AUTO_INCREMENT PRIMARY KEY, option_name varchar(191),
                        option_value longtext, UNIQUE KEY (option_name)) ENGINE=InnoDB;
                INSERT INTO wp_posts SELECT NULL, seq % 50, '2020-01-01' + INTERVAL seq MINUTE,
                        REPEAT(CONCAT(SHA2(seq, 512), ' '), 24), SHA2(seq, 256), 'publish', SHA2(seq + 1, 256),
                        IF(seq % 3, 'post', 'revision') FROM seq_1_to_$((MB * 110));
                INSERT INTO wp_postmeta SELECT NULL, seq / 12, CONCAT('_key_', seq % 200), SHA2(seq, 512)
                        FROM seq_1_to_$((MB * 2000));
                INSERT INTO wp_comments SELECT NULL, seq / 4, MD5(seq), '2020-01-01' + INTERVAL seq SECOND,
                        REPEAT(MD5(seq), 12) FROM seq_1_to_$((MB * 250));
                INSERT INTO wp_options SELECT NULL, MD5(seq), REPEAT(MD5(seq), 8) FROM seq_1_to_2000;
                SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0.001, innodb_max_dirty_pages_pct = 0.001;"
}

# What a load has left in the server's memory is written, as on a site that lives.
settle() {
        for _ in $(seq 300); do
                [ "$(mariadb_sql "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_bytes_dirty'" | cut -f 2)" -gt 4194304 ] ||
                        return 0
                sleep 0.2
        done
}

# timed NAME COMMAND...: Its seconds, the longest write of a client meanwhile, and what it took of
# the disk, as a line of $WORK/results; what it made is dropped by the next line.
timed() {
        local name=$1 begin end before after beat stall

        shift
        settle
        before=$(used)
        "$BUILD/tests/bench/db_beat" "$MARIADB_SOCKET" sitesnap "$PASSWORD" site beats >"$WORK/beat" &
        beat=$!
        sleep 0.5
        begin=$(now)
        "$@" >"$WORK/out" 2>"$WORK/err" || { echo "$name failed: $(tail -2 "$WORK/err")" >&2; kill "$beat"; return 1; }
        end=$(now)
        kill "$beat"
        wait "$beat" || true
        sync
        after=$(used)
        stall=$(cut -d ' ' -f 1 "$WORK/beat")
        printf '%s %s %s %s\n' "$name" "$(python3 -c "print(round($end - $begin, 2))")" "$stall" \
                "$(((after - before) / 1024))" | tee -a "$WORK/results"
}

by_driver() { "$BUILD/tests/bench/db_copy" "$MARIADB_SOCKET" sitesnap "$PASSWORD" site snap1_site "$1"; }
by_cp() { cp --reflink=never "$MARIADB_DIR"/data/site/*.ibd "$WORK/disk/cp/"; sync -f "$WORK/disk/cp"; }
by_dump() {
        mariadb-dump --no-defaults -S "$MARIADB_SOCKET" -u root --single-transaction --quick site |
                mariadb --no-defaults -S "$MARIADB_SOCKET" -u root loaded
}
by_mydumper() {
        mydumper -S "$MARIADB_SOCKET" -u sitesnap -p "$PASSWORD" -B site -t 2 -o "$WORK/disk/mydumper" &&
                myloader -S "$MARIADB_SOCKET" -u sitesnap -p "$PASSWORD" -d "$WORK/disk/mydumper" -B loaded -t 2
}

# What the driver did, without the comparison with the original that the others do not make.
driver_line() {
        python3 - "$WORK/out" "$1" "$(tail -1 "$WORK/results" | cut -d ' ' -f 3)" <<'END' | tee -a "$WORK/results"
import sys
words = open(sys.argv[1]).read().split()
parts = dict(zip(words[::2], map(int, words[1::2])))
seconds = (parts["hold"] + parts["release"] + parts["copy"]) / 1000
print(f"{sys.argv[2]} {seconds:.2f} {sys.argv[3]} -  {' '.join(words)}")
END
}

measure() {
        local fs=$1

        rm -f "$WORK/results"
        truncate -s $((MB * 6 + 2000))M "$WORK/image"
        "mkfs.$fs" -q "$WORK/image"
        mkdir -p "$WORK/disk"
        disk_mount "$WORK/image" "$WORK/disk"
        mariadb_begin "$WORK/disk/server"
        make_site
        echo "$fs: $(du -sm "$MARIADB_DIR/data/site" | cut -f 1) MB; name, seconds, longest write in ms, MB of disk"
        for _ in $(seq "$RUNS"); do
                mkdir -p "$WORK/disk/cp" && timed cp by_cp && rm -rf "$WORK/disk/cp"
                timed files+verify by_driver files && driver_line files
                timed snapshot+verify by_driver snapshot && driver_line snapshot
                mariadb_sql 'CREATE DATABASE loaded' && timed mariadb-dump by_dump
                mariadb_sql 'DROP DATABASE loaded'
                ! command -v mydumper >/dev/null || { timed mydumper by_mydumper
                        mariadb_sql 'DROP DATABASE IF EXISTS loaded' && rm -rf "$WORK/disk/mydumper"; }
        done
        python3 - "$WORK/results" "$fs" <<'END'
import sys
best, stall = {}, {}
for line in open(sys.argv[1]):
    name, seconds, ms = line.split()[:3]
    best[name] = min(best.get(name, 1e9), float(seconds))
    stall[name] = max(stall.get(name, 0), float(ms))
for name, seconds in best.items():
    peers = ", ".join(f"{seconds / best[peer]:.2f} of {peer}" for peer in ("cp", "mariadb-dump", "mydumper") if peer in best)
    print(f"{sys.argv[2]} {name}: {seconds:.1f} s, {peers}; longest write {stall[name]:.0f} ms")
END
        mariadb_end
        umount "$WORK/disk"
        rm -f "$WORK/image"
}

for fs in "$@"; do
        measure "$fs"
done
