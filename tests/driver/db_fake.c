/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/driver/db_conformance.h"
#include "tests/driver/fake_db.h"
#include "tests/lib/tenant.h"
#include "tests/lib/test.h"

/* An application on the fake database. */

static struct err ignored;

static void start(struct db_conf *conf)
{
        tenant_begin(NULL, 0, conf);
}

static void provision(const struct db_conf *conf, const char *schema)
{
        CLEANUP(closep) int fd = openat(conf->root_fd, schema, O_WRONLY | O_CREAT | O_EXCL, 0600);

        ASSERT(fd >= 0 && fchown(fd, TENANT, TENANT) == 0);
}

static int put(int fd, uint64_t number)
{
        char text[64];
        int n = snprintf(text, sizeof(text), "l %" PRIu64 "\nr %" PRIu64 "\n", number, number);

        return write(fd, text, (size_t)n) != n;
}

static int create(const struct db_conf *conf, const char *schema, unsigned rows)
{
        CLEANUP(closep) int fd = fake_db_lock(conf->root_fd, schema);

        for (unsigned i = 1; fd >= 0 && i <= rows; i++)
                if (put(fd, i) != 0)
                        return 1;
        return fd < 0;
}

/* A connection is where to append. */
struct connection {
        int root_fd;
        const char *schema;
};

static void *connect_app(const struct db_conf *conf, const char *schema)
{
        static struct connection connection;

        connection = (struct connection){ conf->root_fd, schema };
        return &connection;
}

static int append(void *arg, uint64_t number, int tree_fd)
{
        const struct connection *connection = arg;
        CLEANUP(closep) int fd = fake_db_lock(connection->root_fd, connection->schema);

        return fd < 0 || pwrite(tree_fd, &number, sizeof(number), 0) != sizeof(number) ||
               put(fd, number) != 0;
}

static int linger(void *arg)
{
        const struct connection *connection = arg;

        return fake_db_lock(connection->root_fd, connection->schema) < 0;
}

static int read_app(const struct db_conf *conf, const char *schema, struct db_counts *ret_counts)
{
        CLEANUP(freep) char *text = NULL;
        struct db_counts counts = { 0 };

        if (file_read(conf->root_fd, schema, 64 << 20, &text, NULL, &ignored) < 0)
                return 1;
        for (char *at = text; *at != '\0'; at = strchr(at, '\n') + 1) {
                uint64_t number = strtoull(at + 1, NULL, 10);

                *(at[0] == 'l' ? &counts.left : &counts.right) += 1;
                if (number > counts.last)
                        counts.last = number;
        }
        *ret_counts = counts;
        return 0;
}

static int damage(const struct db_conf *conf, const char *schema)
{
        CLEANUP(closep) int fd = openat(conf->root_fd, schema, O_WRONLY | O_CLOEXEC);
        struct stat st;

        return fd < 0 || fstat(fd, &st) < 0 || ftruncate(fd, st.st_size - 7) < 0;
}

const struct db_factory db_factory = {
        .driver = &db_driver_fake,
        .start = start,
        .provision = provision,
        .create = create,
        .connect = connect_app,
        .append = append,
        .linger = linger,
        .read = read_app,
        .damage = damage,
};
