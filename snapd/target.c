/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/file.h"
#include "common/safepath.h"
#include "snapd/ini_line.h"
#include "snapd/target.h"
#include "snapd/target_keys.h"

#define BLANKS    " \t\r\n"
#define FILE_MAX  65536
#define LINE_MAX  8192
#define NAMES_MAX 100

struct loader {
        struct notice_target *target;
        struct site_problems *problems;
        const char *file;
        const char *next;
        int line;
        bool known_section;
        int lines[TARGET_KEYS_MAX]; /* where each key was given; 0: it was not */
        size_t mistakes;
        struct err first, fatal;
};

PRINTF(4, 5)
static void mistake(struct loader *l, int line, const char *key, const char *fmt, ...)
{
        char text[400];
        struct err problem;
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        (void)err_fail(&problem, ERR_INVALID, 0, "%s", text);
        if (l->mistakes++ == 0)
                (void)err_fail(&l->first, ERR_INVALID, 0, "%s:%d: %s: %s", l->file, line, key,
                               text);
        if (l->fatal.code == 0)
                (void)!site_problem_add(l->problems, l->file, line, key, &problem, &l->fatal);
}

static bool is_section(const char *name, size_t n)
{
        for (const struct target_key *key = target_keys; key->key != NULL; key++)
                if (strlen(key->section) == n && strncmp(key->section, name, n) == 0)
                        return true;
        return false;
}

/* May inih see this line? */
static bool line_check(struct loader *l, const char *line)
{
        const char *end;

        line += strspn(line, BLANKS);
        if (*line == '\0' || *line == '#' || *line == ';')
                return true;
        if (*line != '[') {
                if (line[strcspn(line, "=:")] != '\0')
                        return true;
                mistake(l, l->line, "", "'%.60s': KEY = VALUE is expected", line);
                return false;
        }
        end = strchr(line, ']');
        l->known_section = end != NULL && is_section(line + 1, (size_t)(end - line - 1));
        if (l->known_section && end[1 + strspn(end + 1, BLANKS)] == '\0')
                return true;
        mistake(l, l->line, "[",
                "'%.40s' is no section; there are [notice], [mail], [webhook] and [command]", line);
        l->known_section = false;
        return false;
}

static char *line_next(char *to, int room, void *arg)
{
        struct loader *l = arg;

        if (*l->next == '\0' || l->fatal.code != 0)
                return NULL;
        l->line++;
        if (!ini_line_take(&l->next, to, room))
                mistake(l, l->line, "", "a line has at most %d bytes", room - 2);
        else if (!line_check(l, to))
                to[0] = '\0';
        return to;
}

static void unknown_key(struct loader *l, const char *section, const char *name)
{
        char list[200] = "";
        size_t used = 0;

        for (const struct target_key *key = target_keys; key->key != NULL; key++)
                if (strcmp(key->section, section) == 0)
                        used += (size_t)snprintf(list + used, sizeof(list) - used, " %s", key->key);
        mistake(l, l->line, name, "unknown key in [%s]; there are%s", section, list);
}

/* The handler of inih; returns 1 to go on. */
static int key_take(void *arg, const char *section, const char *name, const char *text)
{
        struct loader *l = arg;
        const struct target_key *key = target_key_find(section, name);
        struct err problem;
        int *first;

        if (section[0] == '\0')
                mistake(l, l->line, name, "stands before the first [section]");
        else if (l->known_section && key == NULL)
                unknown_key(l, section, name);
        if (key == NULL || !l->known_section)
                return 1;
        first = &l->lines[key - target_keys];
        if (*first != 0)
                mistake(l, l->line, name, "given twice, first in line %d", *first);
        else if (text[0] == '\0')
                mistake(l, l->line, name, "has no value; leave the line out");
        else if (key->read(l->target, (char *)l->target + key->offset, key, text, &problem) < 0)
                mistake(l, l->line, name, "%s", problem.msg);
        *first = *first == 0 ? l->line : *first;
        return 1;
}

static void text_take(struct loader *l, const char *text)
{
        const struct target_key *fault = NULL;
        struct err problem;

        ini_allow_multiline = false;
        ini_allow_inline_comments = false;
        ini_max_line = LINE_MAX;
        l->next = text;
        (void)ini_parse_stream((ini_reader)line_next, l, key_take, l); /* line_next() saw it all */
        for (const struct target_key *key = target_keys; key->key != NULL; key++) {
                int line = l->lines[key - target_keys];
                bool used = target_section_used(l->target, key->section);

                /* Without its kind nothing can be said about the rest. */
                if (l->lines[0] == 0 && key != target_keys)
                        break;
                if (used && key->required && line == 0)
                        mistake(l, 0, key->key, "missing in [%s]: %s", key->section, key->help);
                if (!used && line != 0)
                        mistake(l, line, key->key, "[%s] is not for kind = %s", key->section,
                                target_kind_name(l->target->kind));
        }
        if (l->mistakes == 0 && target_check(l->target, &fault, &problem) < 0)
                mistake(l, l->lines[fault - target_keys], fault->key, "%s", problem.msg);
}

static int target_new(const char *name, struct notice_target **ret_target, struct err *err)
{
        CLEANUP(target_freep) struct notice_target *target = calloc(1, sizeof(*target));

        if (target == NULL || (target->name = strdup(name)) == NULL)
                return err_oom(err);
        target->phases = ~0U;
        for (const struct target_key *key = target_keys; key->key != NULL; key++)
                if (key->preset != NULL &&
                    key->read(target, (char *)target + key->offset, key, key->preset, err) < 0)
                        return -1;
        *ret_target = STEAL(target);
        return 0;
}

void target_free(struct notice_target *target)
{
        if (target == NULL)
                return;
        target_done(target);
        free(target);
}

int target_parse(const char *name, const char *file, const char *text,
                 struct site_problems *problems, struct notice_target **ret_target, struct err *err)
{
        CLEANUP(target_freep) struct notice_target *target = NULL;
        struct loader l = { .problems = problems, .file = file };

        /* The same rule as for sites: the name goes into records and headers. */
        if (site_name_valid(name, err) < 0 || target_new(name, &target, err) < 0)
                return -1;
        l.target = target;
        text_take(&l, text);
        if (l.fatal.code != 0 || l.mistakes == 1) {
                *err = l.fatal.code != 0 ? l.fatal : l.first;
                return -1;
        }
        if (l.mistakes > 1)
                return err_fail(err, ERR_INVALID, 0, "%.400s (and %zu more)", l.first.msg,
                                l.mistakes - 1);
        *ret_target = STEAL(target);
        return 0;
}

/* Root acts on it: nobody else may have written it, and a secret nobody else may read. */
static int check_own(int fd, const char *what, mode_t others, struct err *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "'%s'", what);
        if (st.st_uid != 0 && st.st_uid != geteuid())
                return err_fail(err, ERR_REFUSED, 0, "'%s' belongs to uid %u: make it root's", what,
                                (unsigned)st.st_uid);
        if ((st.st_mode & others) != 0)
                return err_fail(err, ERR_REFUSED, 0, "'%s' can be %s by others than its owner: %s",
                                what, others == 022 ? "written" : "read",
                                others == 022 ? "chmod go-w" : "chmod 600");
        return 0;
}

int target_load(int conf_fd, const char *name, struct site_problems *problems,
                struct notice_target **ret_target, struct err *err)
{
        CLEANUP(closep) int dir_fd = -1;
        CLEANUP(closep) int fd = -1;
        CLEANUP(freep) char *text = NULL;
        char file[64];
        struct stat st;
        size_t n;

        if (site_name_valid(name, err) < 0)
                return -1;
        (void)snprintf(file, sizeof(file), TARGET_DIR "/%s.conf", name);
        if (safepath_open(conf_fd, TARGET_DIR, O_RDONLY | O_DIRECTORY, &dir_fd, err) < 0 ||
            check_own(dir_fd, TARGET_DIR, 022, err) < 0 ||
            safepath_open(dir_fd, file + sizeof(TARGET_DIR), O_RDONLY, &fd, err) < 0)
                return err->code == ERR_NOT_FOUND
                               ? err_fail(err, ERR_NOT_FOUND, 0, "there is no '%s'", file)
                               : -1;
        if (check_own(fd, file, 022, err) < 0)
                return -1;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return err_fail(err, ERR_INVALID, 0, "'%s' is not a regular file", file);
        if (file_read_fd(fd, FILE_MAX, &text, &n, err) < 0)
                return err_wrap(err, "'%s'", file);
        if (memchr(text, '\0', n) != NULL)
                return err_fail(err, ERR_INVALID, 0, "'%s' has a NUL byte in it", file);
        return target_parse(name, file, text, problems, ret_target, err);
}

static int is_conf(const struct dirent *entry)
{
        size_t n = strlen(entry->d_name);

        return n > 5 && entry->d_name[0] != '.' && strcmp(entry->d_name + n - 5, ".conf") == 0;
}

int target_names(int conf_fd, target_visit visit, void *arg, struct err *err)
{
        struct dirent **entries;
        int n = scandirat(conf_fd, TARGET_DIR, &entries, is_conf, alphasort), r = 0;

        if (n < 0)
                return errno == ENOENT ? 0
                                       : err_fail(err, ERR_IO, errno, "cannot read " TARGET_DIR);
        for (int i = 0; i < n; i++) {
                if (r == 0 && i < NAMES_MAX) {
                        entries[i]->d_name[strlen(entries[i]->d_name) - 5] = '\0';
                        r = visit(entries[i]->d_name, arg, err);
                }
                free(entries[i]);
        }
        free(entries);
        return r;
}

bool target_wants(const struct notice_target *target, enum notice_phase phase, const char *site)
{
        if (phase == NOTICE_TEST)
                return true;
        if (phase >= NOTICE_PHASES || (target->phases & 1U << phase) == 0)
                return false;
        for (size_t i = 0; target->sites != NULL; i++) {
                if (target->sites[i] == NULL)
                        return false;
                if (strcmp(target->sites[i], site) == 0)
                        return true;
        }
        return true;
}

static int file_text(const char *path, size_t max, mode_t others, char **ret_text, struct err *err)
{
        CLEANUP(closep) int fd = -1;
        struct stat st;
        size_t n;

        *ret_text = NULL;
        if (path == NULL)
                return 0;
        fd = openat(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return err_fail(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                                "cannot open '%s'", path);
        if (check_own(fd, path, others, err) < 0)
                return -1;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return err_fail(err, ERR_INVALID, 0, "'%s' is not a regular file", path);
        if (file_read_fd(fd, max, ret_text, &n, err) < 0)
                return err_wrap(err, "'%s'", path);
        return 0;
}

int target_secret(const struct notice_target *target, char **ret_secret, struct err *err)
{
        if (file_text(target->kind == TARGET_MAIL ? target->mail.secret_file
                                                  : target->webhook.secret_file,
                      TARGET_SECRET_MAX, 077, ret_secret, err) < 0)
                return -1;
        if (*ret_secret == NULL)
                return 0;
        (*ret_secret)[strcspn(*ret_secret, "\r\n")] = '\0';
        if ((*ret_secret)[0] != '\0')
                return 0;
        free(STEAL(*ret_secret));
        return err_fail(err, ERR_INVALID, 0, "the secret of '%s' is empty", target->name);
}

int target_ca(const struct notice_target *target, char **ret_pem, struct err *err)
{
        return file_text(target->kind == TARGET_MAIL ? target->mail.ca_file
                                                     : target->webhook.ca_file,
                         TARGET_CA_MAX, 022, ret_pem, err);
}
