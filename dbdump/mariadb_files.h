/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DBDUMP_MARIADB_FILES_H
#define DBDUMP_MARIADB_FILES_H

/*
 * The way `files`: tables are copied as the server's own files.
 *
 * In the hold the server writes a table out and stands still on it (FLUSH TABLES ... FOR EXPORT)
 * while its file is cloned; afterwards the clone becomes the tablespace of an empty table of the
 * copy, and the server goes through it once and makes it its own (ALTER TABLE ... IMPORT
 * TABLESPACE).  The lock of mariadb_hold.h stands around it and has the deadline; the export's own
 * connection ends by it too, and is over before the hold is handed out.
 *
 * Which tables:
 *
 *   InnoDB in a file of its own   by file
 *   with FULLTEXT indexes         by rows: words of an index lie in other tables, and an import
 *                                 without them makes the server abort at the first INSERT
 *   with SPATIAL indexes, partitions, encryption, page compression, ROW_FORMAT=COMPRESSED, system
 *   versions, sequences, a file elsewhere (DATA DIRECTORY, a link, the system tablespace)
 *                                 by rows, from the views of the same hold; so are tables with a
 *                                 default from a sequence, which has to be there first
 *   MyISAM, Aria, ...             by rows inside the hold, as in the way `snapshot`
 *   that the server does not take (its columns were added or dropped in place)
 *                                 by rows, when the import was refused
 *
 * Only who asks for it gets it, since the account needs more rights for it (RELOAD, SUPER).
 *
 * A crash of the server: its log tells that the empty table's file was deleted.  A recovery that
 * read this (MariaDB 10.11.19) would pass over everything that was written to the file of the same
 * number that has been imported since, so that committed rows would be gone, or would not start
 * while a file is there that was not imported.  So between the two there is a checkpoint
 * (mariadb_checkpoint.h), for all tables at once; behind it a server that is killed at any moment
 * of the import starts, has the original as it was, and has a copy that is marked as half made.
 *
 * The files are handled by a process with the server's own rights (mariadb_keeper.h).
 */

#include "dbdump/mariadb_conn.h"
#include "dbdump/mariadb_copy.h"
#include "dbdump/mariadb_hold.h"

struct mariadb_files; /* what is known of the server's files */

/* mariadb_files_open(keeper_fd, way, ret_files, err): ${keeper_fd} 0: there is no keeper, and the
 * way can only be said to be impossible; else it is closed with the files. */
int mariadb_files_open(int keeper_fd, enum db_way way, struct mariadb_files **ret_files,
                       struct err *err) MUST_CHECK;
void mariadb_files_close(struct mariadb_files *files);

/* mariadb_files_choose(files, conn, schema, tables, forecast, err): Which tables go this way, said
 * in by_file of each, and in forecast what that costs in place of what is there; none when it is
 * not worth it or not possible.  ERR_UNSUPPORTED with the reason, when it is the only way that is
 * allowed. */
int mariadb_files_choose(struct mariadb_files *files, struct mariadb_conn *conn, const char *schema,
                         struct mariadb_tables *tables, struct db_forecast *forecast,
                         struct err *err) MUST_CHECK;

/* mariadb_files_settle(login, err): Before the hold: what the server has changed in its memory is
 * in its files, so that the export, for which writers wait, has little to write. */
int mariadb_files_settle(const struct mariadb_login *login, struct err *err) MUST_CHECK;

/* mariadb_files_take(files, hold, err): In the hold: the files are cloned, over hold->exporter,
 * which is closed.  When it fails and rows are allowed, no table is by_file any more. */
int mariadb_files_take(struct mariadb_files *files, struct mariadb_hold *hold,
                       struct err *err) MUST_CHECK;

/* mariadb_files_put(files, copy, err): Every table that is by_file is in copy->to; a table that the
 * server refused is not, and is not by_file any more. */
int mariadb_files_put(struct mariadb_files *files, struct mariadb_copy *copy,
                      struct err *err) MUST_CHECK;

/* mariadb_files_count(hold, table, err): table->copied is what the hold's view has, for who
 * verifies. */
int mariadb_files_count(const struct mariadb_hold *hold, struct mariadb_table *table,
                        struct err *err) MUST_CHECK;

#endif
