/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/root.h"
#include "tests/lib/tenant.h"
#include "tests/lib/test.h"

static char root[128];
static int root_fd = -1;

/* What the tenant's process tells the test. */
static struct told {
        volatile int rc, ready;
        char value[4096];
} * told;

void tenant_begin(const char *fs, unsigned mbytes, struct db_conf *ret_conf)
{
        root_begin();
        (void)snprintf(root, sizeof(root), "%s/databases", root_fs(fs, mbytes));
        ASSERT(mkdirat(AT_FDCWD, root, 0711) == 0);
        root_fd = openat(AT_FDCWD, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ASSERT(root_fd >= 0 && told != MAP_FAILED);
        *ret_conf = (struct db_conf){
                .root_fd = root_fd, .owner_uid = TENANT, .owner_gid = TENANT, .secret_fd = -1
        };
}

const char *tenant_root(void)
{
        return root;
}

void tenant_dir(const char *schema)
{
        ASSERT(mkdirat(root_fd, schema, 0700) == 0);
        ASSERT(fchownat(root_fd, schema, TENANT, TENANT, AT_SYMLINK_NOFOLLOW) == 0);
}

static int take_value(void *arg, int n, char **values, char **names)
{
        (void)arg;
        (void)names;
        if (told->value[0] == '\0' && n > 0 && values[0] != NULL)
                (void)snprintf(told->value, sizeof(told->value), "%s", values[0]);
        return 0;
}

static void run(uid_t uid, const char *file, const char *sql)
{
        static sqlite3 *db; /* static, so that who looks for leaks finds it */
        char path[512];

        if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
            setresuid(uid, uid, uid) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                _exit(9);
        (void)snprintf(path, sizeof(path), "%s/%s", root, file);
        told->value[0] = '\0';
        told->rc = sqlite3_open(path, &db);
        (void)sqlite3_busy_timeout(db, 3000);
        if (told->rc == SQLITE_OK)
                told->rc = sqlite3_exec(db, sql, take_value, NULL, NULL);
        told->ready = 1;
        /* Left open on purpose: tenant_keep() waits with it, and a process that ends without
         * closing is what a killed application is. */
}

int tenant_sql(uid_t uid, const char *file, const char *sql)
{
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                run(uid, file, sql);
                _exit(0);
        }
        ASSERT(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
        return told->rc;
}

const char *tenant_value(uid_t uid, const char *file, const char *sql)
{
        return tenant_sql(uid, file, sql) == SQLITE_OK ? told->value : NULL;
}

pid_t tenant_keep(const char *file, const char *sql)
{
        pid_t pid;

        told->ready = 0;
        pid = fork();
        if (pid == 0) {
                run(TENANT, file, sql);
                (void)pause();
                _exit(0);
        }
        ASSERT(pid > 0);
        while (!told->ready)
                (void)usleep(1000);
        ASSERT_EQ(told->rc, SQLITE_OK);
        return pid;
}

void tenant_end(pid_t pid)
{
        ASSERT(kill(pid, SIGKILL) == 0);
        ASSERT(waitpid(pid, NULL, 0) == pid);
}
