/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "snapd/catalog.h"
#include "snapd/sql.h"
#include "tests/lib/test.h"

static struct err err;
static struct catalog *catalog;
static unsigned syncs;

/* SQLite's syncs come here instead of to libc. */
int fdatasync(int fd)
{
        syncs++;
        return (int)syscall(SYS_fdatasync, fd);
}

static int state_dir(void)
{
        int fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        ASSERT(fd >= 0);
        return fd;
}

static void catalog_make(void)
{
        int fd = state_dir();

        ASSERT_OK(catalog_open(fd, &catalog, &err));
        close(fd);
}

static void site_make(void)
{
        catalog_make();
        ASSERT_OK(catalog_add_site(catalog, "shop", "fake", "/pool/shop", &err));
}

static void put(uint64_t number, enum version_state state, enum version_mark mark, int64_t active)
{
        struct version version = { .number = number,
                                   .state = state,
                                   .mark = mark,
                                   .active_usec = active,
                                   .files_bytes = -1 };

        ASSERT_OK(catalog_put_version(catalog, "shop", &version, &err));
}

TEST(a_new_catalog_is_roots_alone_durable_and_ours)
{
        char path[256];
        struct stat st;
        uint64_t n = 0;

        umask(0);
        catalog_make();
        for (const char *const *suffix = (const char *const[]){ "", "-wal", "-shm", NULL };
             *suffix != NULL; suffix++) {
                (void)snprintf(path, sizeof(path), "%s/state.db%s", test_tmpdir(), *suffix);
                ASSERT_EQ(stat(path, &st), 0);
                ASSERT_EQ(st.st_mode & 07777, 0600);
        }
        ASSERT_EQ(sql_number(catalog_db(catalog), "PRAGMA synchronous", NULL, &n, &err), 1);
        ASSERT_EQ(n, 2);
        ASSERT_EQ(sql_number(catalog_db(catalog), "PRAGMA foreign_keys", NULL, &n, &err), 1);
        ASSERT_EQ(n, 1);
        ASSERT_EQ(sql_number(catalog_db(catalog),
                             "SELECT 1 FROM pragma_journal_mode WHERE journal_mode = 'wal'", NULL,
                             &n, &err),
                  1);
        ASSERT_EQ(sql_number(catalog_db(catalog), "PRAGMA application_id", NULL, &n, &err), 1);
        ASSERT(n != 0);
        catalog_close(catalog);
}

TEST(what_others_may_change_is_refused)
{
        int fd = state_dir();

        ASSERT(openat(fd, "state.db", O_CREAT | O_RDWR, 0644) >= 0);
        ASSERT_ERR(catalog_open(fd, &catalog, &err), ERR_REFUSED, "0600");
        ASSERT_EQ(unlinkat(fd, "state.db", 0), 0);
        ASSERT_EQ(symlinkat("elsewhere", fd, "state.db"), 0);
        ASSERT_ERR(catalog_open(fd, &catalog, &err), ERR_REFUSED, "not a regular file");
}

TEST(a_file_that_is_not_ours_is_left_alone)
{
        int fd = state_dir();
        int file = openat(fd, "state.db", O_CREAT | O_RDWR, 0600);
        sqlite3 *db;
        char path[256];

        ASSERT(write(file, "this is no database, it only has the same name", 46) == 46);
        close(file);
        ASSERT_ERR(catalog_open(fd, &catalog, &err), ERR_CORRUPT, "state.db");
        ASSERT_EQ(unlinkat(fd, "state.db", 0), 0);

        close(openat(fd, "state.db", O_CREAT | O_RDWR, 0600));
        (void)snprintf(path, sizeof(path), "%s/state.db", test_tmpdir());
        ASSERT_EQ(sqlite3_open(path, &db), SQLITE_OK);
        ASSERT_OK(sql_script(db, "CREATE TABLE other (a)", &err));
        sqlite3_close(db);
        ASSERT_ERR(catalog_open(fd, &catalog, &err), ERR_CORRUPT, "not a catalog of sitesnap");
}

TEST(a_newer_catalog_is_refused)
{
        int fd = state_dir();

        ASSERT_OK(catalog_open(fd, &catalog, &err));
        ASSERT_OK(sql_script(catalog_db(catalog), "PRAGMA user_version = 99", &err));
        catalog_close(catalog);
        ASSERT_ERR(catalog_open(fd, &catalog, &err), ERR_UNSUPPORTED, "newer sitesnap (schema 99");
}

TEST(eight_processes_make_it_at_once)
{
        int fd = state_dir(), status, ends[2];
        char c;

        ASSERT_EQ(pipe(ends), 0);
        for (int i = 0; i < 8; i++)
                if (fork() == 0) {
                        uint64_t n;

                        close(ends[1]);
                        (void)!read(ends[0], &c, 1); /* all begin together, at its end */
                        if (catalog_open(fd, &catalog, &err) < 0 ||
                            catalog_take(catalog, "tree", 5, &n, &err) < 0) {
                                printf("# %s\n", err.msg);
                                exit(1);
                        }
                        catalog_close(catalog);
                        _exit(0);
                }
        close(ends[1]);
        for (int i = 0; i < 8; i++) {
                ASSERT(wait(&status) > 0);
                ASSERT_EQ(status, 0);
        }
        uint64_t next = 0;
        ASSERT_OK(catalog_open(fd, &catalog, &err));
        ASSERT_OK(catalog_take(catalog, "tree", 1, &next, &err));
        ASSERT_EQ(next, 41);
        catalog_close(catalog);
}

TEST(numbers_are_never_given_out_twice)
{
        uint64_t n = 0;

        site_make();
        ASSERT_OK(catalog_take(catalog, "tree", 1, &n, &err));
        ASSERT_EQ(n, 1);
        ASSERT_OK(catalog_take(catalog, "tree", 3, &n, &err));
        ASSERT_EQ(n, 2);
        ASSERT_OK(catalog_take(catalog, "version:shop", 1, &n, &err));
        ASSERT_EQ(n, 1);

        /* What was rolled back was not given out; what was removed was. */
        ASSERT_OK(catalog_begin(catalog, &err));
        ASSERT_OK(catalog_take(catalog, "tree", 1, &n, &err));
        catalog_rollback(catalog);
        ASSERT_OK(catalog_take(catalog, "tree", 1, &n, &err));
        ASSERT_EQ(n, 5);
        ASSERT_OK(catalog_remove_site(catalog, "shop", &err));
        ASSERT_OK(catalog_take(catalog, "version:shop", 1, &n, &err));
        ASSERT_EQ(n, 2);
        catalog_close(catalog);
}

TEST(sites_come_and_go)
{
        struct catalog_site site = { 0 };

        site_make();
        ASSERT_ERR(catalog_add_site(catalog, "shop", "x", "y", &err), ERR_EXISTS,
                   "there is a site 'shop' already");
        ASSERT_ERR(catalog_site(catalog, "blog", &site, &err), ERR_NOT_FOUND, "no site 'blog'");
        ASSERT_OK(catalog_site(catalog, "shop", &site, &err));
        ASSERT_STR(site.driver, "fake");
        ASSERT_STR(site.pool, "/pool/shop");
        ASSERT_EQ(site.active, 0);
        ASSERT_EQ(site.last_good, 0);
        catalog_site_done(&site);

        put(1, VERSION_KEPT, MARK_NONE, 10);
        ASSERT_OK(catalog_remove_site(catalog, "shop", &err));
        ASSERT_ERR(catalog_remove_site(catalog, "shop", &err), ERR_NOT_FOUND, "no site 'shop'");
        ASSERT_OK(catalog_add_site(catalog, "shop", "fake", "/pool/shop", &err));
        ASSERT_OK(catalog_site(catalog, "shop", &site, &err));
        ASSERT_EQ(site.versions, 0);
        catalog_site_done(&site);
        catalog_close(catalog);
}

static char seen[64];

static int see(const char *name, void *arg, struct err *e)
{
        uint64_t n;

        size_t used = strlen(seen);

        (void)snprintf(seen + used, sizeof(seen) - used, "%s ", name);
        if (strcmp(name, (const char *)arg) == 0)
                return err_fail(e, ERR_REFUSED, 0, "seen enough");
        return catalog_take(catalog, "tree", 1, &n, e); /* a visit may write */
}

TEST(sites_are_visited_by_name_until_one_refuses)
{
        site_make();
        ASSERT_OK(catalog_add_site(catalog, "wiki", "fake", "/p", &err));
        ASSERT_OK(catalog_add_site(catalog, "blog", "fake", "/p", &err));
        ASSERT_OK(catalog_sites(catalog, see, (char[]){ "" }, &err));
        ASSERT_STR(seen, "blog shop wiki ");
        seen[0] = '\0';
        ASSERT_ERR(catalog_sites(catalog, see, (char[]){ "shop" }, &err), ERR_REFUSED,
                   "seen enough");
        ASSERT_STR(seen, "blog shop ");
        catalog_close(catalog);
}

TEST(a_version_comes_back_as_it_was_put)
{
        char database[] = "copy9", label[] = "1.43", reason[] = "it's \"new\"";
        char mark_reason[] = "500s", verb[] = "upgrade";
        struct version put_it = { .number = 7,
                                  .state = VERSION_KEPT,
                                  .mark = MARK_BAD,
                                  .pinned = true,
                                  .mounted = true,
                                  .parent = 6,
                                  .tree = 12,
                                  .database = database,
                                  .label = label,
                                  .reason = reason,
                                  .mark_reason = mark_reason,
                                  .verb = verb,
                                  .operation = 3,
                                  .by = 4294967294U,
                                  .created_usec = 111,
                                  .active_usec = 222,
                                  .files_bytes = 5000000000,
                                  .freed_bytes = -1,
                                  .database_bytes = 0 };
        struct version got = { 0 };

        site_make();
        ASSERT_OK(catalog_put_version(catalog, "shop", &put_it, &err));
        ASSERT_OK(catalog_version(catalog, "shop", 7, &got, &err));
        ASSERT_EQ(got.number, 7);
        ASSERT_EQ(got.state, VERSION_KEPT);
        ASSERT_EQ(got.mark, MARK_BAD);
        ASSERT(got.pinned && got.mounted);
        ASSERT_EQ(got.parent, 6);
        ASSERT_EQ(got.tree, 12);
        ASSERT_STR(got.database, "copy9");
        ASSERT_STR(got.label, "1.43");
        ASSERT_STR(got.reason, "it's \"new\"");
        ASSERT_STR(got.mark_reason, "500s");
        ASSERT_STR(got.verb, "upgrade");
        ASSERT_EQ(got.operation, 3);
        ASSERT_EQ(got.by, 4294967294U);
        ASSERT_EQ(got.created_usec, 111);
        ASSERT_EQ(got.active_usec, 222);
        ASSERT_EQ(got.files_bytes, 5000000000);
        ASSERT_EQ(got.freed_bytes, -1);
        ASSERT_EQ(got.database_bytes, 0);

        got.pinned = false;
        ASSERT_OK(catalog_put_version(catalog, "shop", &got, &err));
        version_done(&got);
        ASSERT_OK(catalog_version(catalog, "shop", 7, &got, &err));
        ASSERT(!got.pinned && got.mounted);
        version_done(&got);
        catalog_close(catalog);
}

TEST(a_missing_version_was_pruned_or_never_was)
{
        struct version version;
        uint64_t n;

        site_make();
        ASSERT_OK(catalog_take(catalog, "version:shop", 7, &n, &err));
        ASSERT_ERR(catalog_version(catalog, "shop", 7, &version, &err), ERR_NOT_FOUND,
                   "version 7 of 'shop' was pruned");
        ASSERT_ERR(catalog_version(catalog, "shop", 8, &version, &err), ERR_NOT_FOUND,
                   "there is no version 8 of 'shop'");
        ASSERT_ERR(catalog_version(catalog, "shop", 0, &version, &err), ERR_NOT_FOUND,
                   "there is no version 0 of 'shop'");
        ASSERT_ERR(catalog_version(catalog, "blog", 1, &version, &err), ERR_NOT_FOUND,
                   "there is no site 'blog'");
        catalog_close(catalog);
}

TEST(a_site_has_one_active_version)
{
        struct version second = { .number = 2, .state = VERSION_ACTIVE };
        struct version_list list = { 0 };

        site_make();
        put(1, VERSION_ACTIVE, MARK_NONE, 10);
        put(1, VERSION_ACTIVE, MARK_GOOD, 10);
        ASSERT_ERR(catalog_put_version(catalog, "shop", &second, &err), ERR_EXISTS, "version 2");
        ASSERT_OK(catalog_versions(catalog, "shop", &list, &err));
        ASSERT_EQ(list.n, 1);
        version_list_done(&list);
        put(1, VERSION_KEPT, MARK_GOOD, 10);
        ASSERT_OK(catalog_put_version(catalog, "shop", &second, &err));
        catalog_close(catalog);
}

TEST(last_good_was_active_last_and_is_not_bad)
{
        struct version_list list = { 0 };
        struct catalog_site site = { 0 };

        site_make();
        put(1, VERSION_KEPT, MARK_GOOD, 10);
        put(2, VERSION_KEPT, MARK_NONE, 40);
        put(3, VERSION_KEPT, MARK_BAD, 50);
        put(4, VERSION_ACTIVE, MARK_GOOD, 60);
        put(5, VERSION_PRUNING, MARK_GOOD, 55);
        put(6, VERSION_KEPT, MARK_NONE, 20);
        ASSERT_OK(catalog_versions(catalog, "shop", &list, &err));
        ASSERT_EQ(list.n, 6);
        ASSERT_EQ(version_last_good(&list)->number, 2);
        ASSERT_OK(catalog_site(catalog, "shop", &site, &err));
        ASSERT_EQ(site.last_good, 2);
        ASSERT_EQ(site.active, 4);
        ASSERT_EQ(site.versions, 6);
        catalog_site_done(&site);
        version_list_done(&list);

        ASSERT_OK(catalog_delete_version(catalog, "shop", 2, &err));
        ASSERT_OK(catalog_delete_version(catalog, "shop", 2, &err));
        ASSERT_OK(catalog_site(catalog, "shop", &site, &err));
        ASSERT_EQ(site.last_good, 6);
        catalog_site_done(&site);
        ASSERT_ERR(catalog_versions(catalog, "blog", &list, &err), ERR_NOT_FOUND, "no site 'blog'");
        catalog_close(catalog);
}

TEST(a_writer_waits_for_the_other_and_sees_what_it_did)
{
        int fd = state_dir(), status, ends[2];
        uint64_t before, n;
        int64_t began;
        char c;

        site_make();
        before = catalog_change(catalog);
        ASSERT_EQ(catalog_change(catalog), before);
        ASSERT_EQ(pipe(ends), 0);
        if (fork() == 0) {
                struct catalog *other;

                ASSERT_OK(catalog_open(fd, &other, &err));
                ASSERT_OK(catalog_begin(other, &err));
                ASSERT_OK(catalog_take(other, "tree", 1, &n, &err));
                close(ends[1]);
                close(ends[0]);
                usleep(200000);
                ASSERT_OK(catalog_commit(other, &err));
                _exit(0); /* catalog is the parent's: not ours to close */
        }
        close(ends[1]);
        ASSERT_EQ(read(ends[0], &c, 1), 0); /* the other has begun */
        close(ends[0]);
        began = clock_boot_usec();
        ASSERT_OK(catalog_begin(catalog, &err));
        ASSERT(clock_boot_usec() - began > 20000);
        ASSERT_OK(catalog_take(catalog, "tree", 1, &n, &err));
        ASSERT_OK(catalog_commit(catalog, &err));
        ASSERT_EQ(n, 2);
        ASSERT(wait(&status) > 0);
        ASSERT_EQ(status, 0);
        ASSERT(catalog_change(catalog) != before);
        catalog_close(catalog);
}

TEST(a_bracket_commits_its_own_transaction_only)
{
        struct catalog_site site;
        bool own, inner;

        site_make();
        ASSERT_OK(catalog_enter(catalog, &own, &err));
        ASSERT_OK(catalog_enter(catalog, &inner, &err));
        ASSERT(own && !inner);
        ASSERT_OK(catalog_add_site(catalog, "blog", "fake", "/p", &err));
        ASSERT_OK(catalog_leave(catalog, inner, 0, &err));
        (void)err_fail(&err, ERR_REFUSED, 0, "no");
        ASSERT_EQ(catalog_leave(catalog, own, -1, &err), -1);
        ASSERT_STR(err.msg, "no");
        ASSERT_ERR(catalog_site(catalog, "blog", &site, &err), ERR_NOT_FOUND, "blog");
        catalog_rollback(catalog);
        catalog_close(catalog);
}

TEST(a_full_disk_is_no_space_and_leaves_nothing_open)
{
        uint64_t n;

        site_make();
        ASSERT_OK(sql_script(catalog_db(catalog), "PRAGMA max_page_count = 1", &err));
        char big[200000];
        memset(big, 'x', sizeof(big) - 1);
        big[sizeof(big) - 1] = '\0';
        ASSERT_OK(catalog_begin(catalog, &err));
        ASSERT_ERR(catalog_add_site(catalog, "blog", "fake", big, &err), ERR_NO_SPACE, "no space");
        catalog_rollback(catalog);
        ASSERT_OK(catalog_take(catalog, "tree", 1, &n, &err));
        catalog_close(catalog);
}

TEST(a_thousand_versions_are_read_quickly)
{
        struct version_list list = { 0 };
        int64_t began;

        site_make();
        ASSERT_OK(catalog_begin(catalog, &err));
        for (uint64_t n = 1; n <= 1000; n++)
                put(n, VERSION_KEPT, MARK_NONE, (int64_t)n);
        ASSERT_OK(catalog_commit(catalog, &err));
        began = clock_boot_usec();
        ASSERT_OK(catalog_versions(catalog, "shop", &list, &err));
        printf("# measured: catalog: 1,000 versions read in %lld us\n",
               (long long)(clock_boot_usec() - began));
        ASSERT_EQ(list.n, 1000);
        ASSERT_EQ(list.items[999].number, 1000);
        version_list_done(&list);
        catalog_close(catalog);
}

TEST(a_version_remembers_what_its_database_is_made_of)
{
        struct version version = { .number = 1, .files_bytes = -1 };
        char *text = NULL;
        uint64_t n = 0;

        site_make();
        ASSERT_ERR(catalog_fingerprint(catalog, "shop", 1, &text, &err), ERR_NOT_FOUND,
                   "the schema of version 1 of 'shop' is not known");
        for (version.number = 1; version.number < 4; version.number++) {
                version.state = version.number == 3 ? VERSION_ACTIVE : VERSION_KEPT;
                ASSERT_OK(catalog_put_version(catalog, "shop", &version, &err));
                ASSERT_OK(catalog_put_fingerprint(catalog, "shop", version.number,
                                                  version.number == 3 ? "table b\n" : "table a\n",
                                                  (int)version.number - 2, &err));
        }
        ASSERT_OK(catalog_version(catalog, "shop", 2, &version, &err));
        ASSERT_EQ(version.schema_changed, 0);
        version_done(&version);

        /* What changed it is still known when its schema is looked at again, and after a change of
         * the version itself. */
        ASSERT_OK(catalog_put_fingerprint(catalog, "shop", 3, "table c\n", -1, &err));
        ASSERT_OK(catalog_version(catalog, "shop", 3, &version, &err));
        ASSERT_OK(catalog_put_version(catalog, "shop", &version, &err));
        version_done(&version);
        ASSERT_OK(catalog_version(catalog, "shop", 3, &version, &err));
        ASSERT_EQ(version.schema_changed, 1);
        version_done(&version);
        ASSERT_OK(catalog_fingerprint(catalog, "shop", 3, &text, &err));
        ASSERT_STR(text, "table c\n");
        free(text);
        ASSERT(sql_number(catalog_db(catalog), "SELECT count(*) FROM fingerprint_texts", NULL, &n,
                          &err) == 1);
        ASSERT_EQ(n, 2);
        ASSERT_OK(catalog_delete_version(catalog, "shop", 3, &err));
        ASSERT_ERR(catalog_fingerprint(catalog, "shop", 3, &text, &err), ERR_NOT_FOUND,
                   "version 3");
}

TEST(who_was_made_ready_commits_with_one_sync)
{
        struct catalog *other;
        unsigned before;

        site_make();
        other = catalog; /* as long as somebody has it open, the log stays */

        catalog_make();
        before = syncs;
        put(1, VERSION_KEPT, MARK_NONE, 0);
        ASSERT_EQ(syncs - before, 2); /* else there is nothing to do before */
        catalog_close(catalog);

        catalog_make();
        ASSERT_OK(catalog_ready(catalog, &err));
        before = syncs;
        put(2, VERSION_KEPT, MARK_NONE, 0);
        ASSERT_EQ(syncs - before, 1);
        catalog_close(catalog);
        catalog_close(other);
}
