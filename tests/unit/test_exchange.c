/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "snapd/exchange.h"
#include "tests/lib/test.h"

/*
 * A directory `site` with a file in it, and a directory `ours` for it to go to.  Stands for links
 * (link given) and for mount points (NULL) alike.
 */
static struct err err;
static struct place site, ours;
static char link_to[PATH_MAX], link_from[PATH_MAX];

static void world(void)
{
        const char *tmp = test_tmpdir();
        char path[PATH_MAX];
        int fd = open(tmp, O_RDONLY | O_DIRECTORY), file_fd;

        ASSERT(fd >= 0);
        ASSERT(mkdirat(fd, "www", 0755) == 0 && mkdirat(fd, "home", 0755) == 0);
        site = (struct place){ openat(fd, "www", O_RDONLY | O_DIRECTORY), "site" };
        ours = (struct place){ openat(fd, "home", O_RDONLY | O_DIRECTORY), "ours" };
        ASSERT(mkdirat(site.dir_fd, "site", 0750) == 0);
        (void)snprintf(path, sizeof(path), "site/file");
        file_fd = openat(site.dir_fd, path, O_WRONLY | O_CREAT, 0644);
        ASSERT(file_fd >= 0);
        (void)close(file_fd);
        (void)snprintf(link_to, sizeof(link_to), "%s/home/ours", tmp);
        (void)snprintf(link_from, sizeof(link_from), "%s/www/site", tmp);
}

static bool has_file(struct place place)
{
        char path[64];

        (void)snprintf(path, sizeof(path), "%s/file", place.name);
        return faccessat(place.dir_fd, path, F_OK, 0) == 0;
}

TEST(a_directory_goes_out_and_its_name_still_leads_to_it)
{
        world();
        ASSERT_OK(exchange_out(site, ours, link_to, &err));
        ASSERT(exchange_is_link(site, link_to));
        ASSERT(has_file(ours) && has_file(site));
}

TEST(going_out_twice_changes_nothing)
{
        world();
        ASSERT_OK(exchange_out(site, ours, link_to, &err));
        ASSERT_OK(exchange_out(site, ours, link_to, &err));
        ASSERT(exchange_is_link(site, link_to) && has_file(ours));
}

TEST(an_empty_slot_gives_way_and_a_full_one_does_not)
{
        world();
        ASSERT(mkdirat(ours.dir_fd, "ours", 0755) == 0);
        ASSERT_OK(exchange_out(site, ours, link_to, &err));
        ASSERT_OK(exchange_in(site, ours, link_to, link_from, &err));
        ASSERT(mkdirat(ours.dir_fd, "ours", 0755) == 0);
        ASSERT(mkdirat(ours.dir_fd, "ours/else", 0755) == 0);
        ASSERT_ERR(exchange_out(site, ours, link_to, &err), ERR_EXISTS, "'ours'");
        ASSERT(has_file(site));
}

TEST(in_is_the_way_back_and_can_be_repeated)
{
        world();
        ASSERT_OK(exchange_out(site, ours, link_to, &err));
        ASSERT_OK(exchange_in(site, ours, link_to, link_from, &err));
        ASSERT_OK(exchange_in(site, ours, link_to, link_from, &err));
        ASSERT(!exchange_is_link(site, link_to) && has_file(site));
        ASSERT(faccessat(ours.dir_fd, "ours", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
}

/* A process that looks for the file through the name until it is told to stop; it exits with 1 when
 * the file was not there. */
static pid_t start_looker(const volatile bool *stop)
{
        pid_t pid = fork();

        ASSERT(pid >= 0);
        if (pid > 0)
                return pid;
        while (!*stop)
                if (!has_file(site))
                        _exit(1);
        _exit(0);
}

TEST(at_no_moment_the_name_leads_nowhere)
{
        volatile bool *stop = mmap(NULL, sizeof(*stop), PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        pid_t looker;
        int status;

        ASSERT(stop != MAP_FAILED);
        world();
        looker = start_looker(stop);
        for (int i = 0; i < 20; i++) {
                ASSERT_OK(exchange_out(site, ours, link_to, &err));
                ASSERT_OK(exchange_in(site, ours, link_to, link_from, &err));
        }
        *stop = true;
        ASSERT(waitpid(looker, &status, 0) == looker);
        ASSERT_EQ(status, 0);
        ASSERT(faccessat(site.dir_fd, ".sitesnap-way", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
        ASSERT(faccessat(ours.dir_fd, ".sitesnap-way", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
}

/* What a crash leaves between the link's change and the exchange, and after the exchange. */
TEST(a_way_that_a_crash_left_is_gone_on_with)
{
        world();
        ASSERT_OK(exchange_out(site, ours, link_to, &err));
        ASSERT(unlinkat(site.dir_fd, "site", 0) == 0);
        ASSERT(symlinkat(".sitesnap-way", site.dir_fd, "site") == 0);
        ASSERT(symlinkat(link_to, site.dir_fd, ".sitesnap-way") == 0);
        ASSERT(symlinkat(link_from, ours.dir_fd, ".sitesnap-way") == 0);
        ASSERT(has_file(site));
        ASSERT(renameat2(site.dir_fd, "site", ours.dir_fd, "ours", RENAME_EXCHANGE) == 0);
        ASSERT(has_file(site) && has_file(ours));
        ASSERT(renameat2(site.dir_fd, "site", ours.dir_fd, "ours", RENAME_EXCHANGE) == 0);
        for (int i = 0; i < 2; i++) {
                ASSERT_OK(exchange_in(site, ours, link_to, link_from, &err));
                ASSERT(!exchange_is_link(site, ".sitesnap-way") && has_file(site));
                ASSERT(faccessat(ours.dir_fd, "ours", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
                ASSERT(faccessat(site.dir_fd, ".sitesnap-way", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
                ASSERT(symlinkat(".sitesnap-way", ours.dir_fd, "ours") == 0);
        }
}

TEST(back_before_it_began_removes_what_a_crash_left)
{
        world();
        ASSERT(symlinkat(link_to, ours.dir_fd, "ours") == 0);
        ASSERT_OK(exchange_in(site, ours, link_to, link_from, &err));
        ASSERT(has_file(site));
        ASSERT(faccessat(ours.dir_fd, "ours", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
}

TEST(what_is_not_there_is_not_taken)
{
        world();
        site.name = "other";
        ASSERT_ERR(exchange_out(site, ours, link_to, &err), ERR_NOT_FOUND, "'other'");
        ASSERT_ERR(exchange_in(site, ours, link_to, link_from, &err), ERR_NOT_FOUND, "neither");
}

TEST(a_tenants_link_is_not_taken_for_a_directory)
{
        world();
        ASSERT(symlinkat("/etc", site.dir_fd, "trap") == 0);
        site.name = "trap";
        ASSERT_ERR(exchange_out(site, ours, link_to, &err), ERR_NOT_FOUND, "'trap'");
        ASSERT(exchange_is_link(site, "/etc"));
}

TEST(a_name_that_somebody_took_meanwhile_is_not_overwritten)
{
        world();
        ASSERT_OK(exchange_out(site, ours, link_to, &err));
        ASSERT(unlinkat(site.dir_fd, "site", 0) == 0);
        ASSERT(symlinkat("/etc", site.dir_fd, "site") == 0);
        ASSERT_ERR(exchange_in(site, ours, link_to, link_from, &err), ERR_EXISTS, "'site'");
        ASSERT(has_file(ours));
}

TEST(a_mount_point_takes_the_place_and_gives_it_back)
{
        if (geteuid() != 0)
                test_skip("only root makes directories that are root's");
        world();
        ASSERT_OK(exchange_out(site, ours, NULL, &err));
        ASSERT(exchange_is_stub(site) && has_file(ours));
        ASSERT_OK(exchange_out(site, ours, NULL, &err));
        ASSERT_OK(exchange_in(site, ours, NULL, NULL, &err));
        ASSERT(has_file(site));
        ASSERT(faccessat(ours.dir_fd, "ours", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
}

TEST(paths_lead_through_no_link)
{
        const char *name;
        char path[PATH_MAX];
        int fd;

        world();
        ASSERT(symlinkat("/etc", site.dir_fd, "way") == 0);
        (void)snprintf(path, sizeof(path), "%s/www/way/passwd", test_tmpdir());
        ASSERT_ERR(exchange_open(path, &fd, &name, &err), ERR_REFUSED, "symbolic link");
        ASSERT_ERR(exchange_open("relative", &fd, &name, &err), ERR_INVALID, "plain absolute");
        (void)snprintf(path, sizeof(path), "%s/www/site", test_tmpdir());
        ASSERT_OK(exchange_open(path, &fd, &name, &err));
        ASSERT_STR(name, "site");
}
