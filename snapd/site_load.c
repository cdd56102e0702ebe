/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/safepath.h"
#include "snapd/ini_line.h"
#include "snapd/site.h"
#include "snapd/site_keys.h"

#define BLANKS " \t\r\n"

/* inih splits lines into sections, names and values; line_next() gives it the lines. */
struct loader {
        struct site *site;
        struct site_problems *problems; /* the caller's; may be NULL */
        const char *file;               /* its path, for messages */
        const char *next;               /* where the next line begins */
        int line;
        bool known_section;
        bool preset;              /* a file of probes.d: there are only probes */
        char probe_section[48];   /* "probe NAME" as inih gives it, while we are in one */
        struct site_probe *probe; /* the one it is about, or NULL */
        int probe_line;
        int probe_lines[PROBE_KEYS_MAX];
        size_t probe_mistakes;    /* before it */
        int lines[SITE_KEYS_MAX]; /* where each key was first given; 0: not yet */
        size_t mistakes;
        struct err first; /* the first mistake, as the caller gets it */
        struct err fatal; /* code 0, or what made reading on impossible */
};

DEFINE_CLEANUP(struct site *, site_free);

/* Take a mistake down; reading goes on. */
static void mistake_put(struct loader *l, int line, const char *key, const struct err *problem)
{
        if (l->mistakes++ == 0)
                (void)err_fail(&l->first, ERR_INVALID, 0, "%s:%d: %s: %s", l->file, line, key,
                               problem->msg);
        if (l->fatal.code == 0 &&
            site_problem_add(l->problems, l->file, line, key, problem, &l->fatal) < 0)
                return; /* remembered in l->fatal */
}

PRINTF(3, 4)
static void mistake(struct loader *l, const char *key, const char *fmt, ...)
{
        char text[400];
        struct err problem;
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        (void)err_fail(&problem, ERR_INVALID, 0, "%s", text);
        mistake_put(l, l->line, key, &problem);
}

static int probe_problem_take(const struct probe_key *key, const struct err *problem, void *arg,
                              struct err *err)
{
        struct loader *l = arg;
        int line = key == NULL ? 0 : l->probe_lines[key - probe_keys];

        (void)err;
        mistake_put(l, line == 0 ? l->probe_line : line, key == NULL ? l->probe_section : key->key,
                    problem);
        return 0;
}

/* What a section says together is looked at when it is over, and each line of it was right. */
static void probe_end(struct loader *l)
{
        if (l->probe != NULL && l->mistakes == l->probe_mistakes)
                (void)!probe_check(l->probe, probe_problem_take, l, &l->fatal);
        l->probe = NULL;
        l->probe_section[0] = '\0';
}

/* Is "[probe NAME]" begun by this? */
static bool probe_begin(struct loader *l, const char *name)
{
        struct err problem;

        if (strncmp(name, "probe ", 6) != 0)
                return false;
        (void)snprintf(l->probe_section, sizeof(l->probe_section), "%.40s", name);
        l->probe_line = l->line;
        l->probe_mistakes = l->mistakes;
        memset(l->probe_lines, 0, sizeof(l->probe_lines));
        if (probe_list_add(&l->site->probes, name + 6, &l->probe, &problem) < 0) {
                l->probe = NULL;
                mistake_put(l, l->line, l->probe_section, &problem);
        }
        return true;
}

/* "[name]" and nothing but a comment behind it. */
static bool section_check(struct loader *l, const char *line)
{
        const char *end = strchr(line, ']'), *nearest;
        char name[64];

        l->known_section = false;
        if (end == NULL || strchr(BLANKS "#;", end[1 + strspn(end + 1, BLANKS)]) == NULL) {
                mistake(l, "[", "a section is '[NAME]' alone on its line");
                return false;
        }
        (void)snprintf(name, sizeof(name), "%.*s", (int)(end - line - 1), line + 1);
        probe_end(l);
        if (probe_begin(l, name)) {
                l->known_section = true;
                return true;
        }
        if (l->preset) {
                mistake(l, "[", "a preset has only sections [probe NAME]");
                return true;
        }
        nearest = site_section_nearest(name);
        l->known_section = nearest != NULL && strcmp(nearest, name) == 0;
        if (l->known_section)
                return true;
        (void)snprintf(name, sizeof(name), "%.*s", (int)(end - line + 1), line);
        if (nearest != NULL)
                mistake(l, name, "unknown section; is [%s] meant?", nearest);
        else
                mistake(l, name,
                        "unknown section; there are [site], [database], [config], "
                        "[upgrade], [switch], [keep], [guard] and [probe NAME]");
        return true;
}

/* May inih see this line? */
static bool line_check(struct loader *l, const char *line)
{
        line += strspn(line, BLANKS);
        if (*line == '\0' || *line == '#' || *line == ';')
                return true;
        if (*line == '[')
                return section_check(l, line);
        if (line[strcspn(line, "=:")] != '\0')
                return true;
        mistake(l, "", "'%.60s': KEY = VALUE is expected", line);
        return false;
}

/* The reader of inih: the next line, or an empty one for a line it must not see. */
static char *line_next(char *to, int room, void *arg)
{
        struct loader *l = arg;

        if (*l->next == '\0' || l->fatal.code != 0)
                return NULL;
        l->line++;
        if (!ini_line_take(&l->next, to, room))
                mistake(l, "", "a line has at most %d bytes", room - 2);
        else if (!line_check(l, to))
                to[0] = '\0';
        return to;
}

static void unknown_key(struct loader *l, const char *section, const char *name)
{
        const struct site_key *near = site_key_nearest(section, name);

        if (near == NULL)
                mistake(l, name, "unknown key in [%s]; sitesnap-site.conf(5) lists all keys",
                        section);
        else if (strcmp(near->key, name) == 0)
                mistake(l, name, "unknown key in [%s]; it belongs to [%s]", section, near->section);
        else if (strcmp(near->section, section) == 0)
                mistake(l, name, "unknown key in [%s]; is '%s' meant?", section, near->key);
        else
                mistake(l, name, "unknown key in [%s]; is '%s' of [%s] meant?", section, near->key,
                        near->section);
}

static void probe_key_take(struct loader *l, const char *name, const char *text)
{
        const struct probe_key *key = probe_key_find(name);
        struct err problem;
        int *first;

        if (l->probe == NULL)
                return;
        if (key == NULL) {
                mistake(l, name, "a probe has no such key; sitesnap-site.conf(5) lists all keys");
                return;
        }
        first = &l->probe_lines[key - probe_keys];
        if (*first != 0 && !key->repeatable) {
                mistake(l, name, "given twice, first in line %d", *first);
                return;
        }
        if (*first == 0)
                *first = l->line;
        if (text[0] == '\0')
                mistake(l, name, "has no value; leave the line out");
        else if (key->kind->read(l->probe, key, text, &problem) < 0)
                mistake_put(l, l->line, name, &problem);
}

/* The handler of inih; returns 1 to go on. */
static int key_take(void *arg, const char *section, const char *name, const char *text)
{
        struct loader *l = arg;
        const struct site_key *key = site_key_find(section, name);
        struct err problem;
        int *first;

        if (section[0] == '\0') {
                mistake(l, name, "stands before the first [section]");
                return 1;
        }
        if (!l->known_section)
                return 1;
        if (l->probe_section[0] != '\0') {
                probe_key_take(l, name, text);
                return 1;
        }
        if (key == NULL) {
                unknown_key(l, section, name);
                return 1;
        }
        first = &l->lines[key - site_keys];
        if (*first != 0 && !key->repeatable) {
                mistake(l, name, "given twice, first in line %d", *first);
                return 1;
        }
        if (*first == 0)
                *first = l->line;
        if (text[0] == '\0')
                mistake(l, name, "has no value; leave the line out");
        else if (key->kind->read(l->site, key, text, &problem) < 0)
                mistake_put(l, l->line, name, &problem);
        return 1;
}

static int check_take(const struct site_key *key, const struct err *problem, void *arg,
                      struct err *err)
{
        struct loader *l = arg;

        (void)err;
        mistake_put(l, l->lines[key - site_keys], key->key, problem);
        return 0;
}

/* Root will act on what stands here, so nobody else may have written it. */
static int check_trusted(int fd, const char *what, struct err *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_fail(err, ERR_IO, errno, "'%s'", what);
        if (st.st_uid != 0 && st.st_uid != geteuid())
                return err_fail(err, ERR_REFUSED, 0, "'%s' belongs to uid %u: make it root's", what,
                                (unsigned)st.st_uid);
        if ((st.st_mode & 022) != 0)
                return err_fail(err, ERR_REFUSED, 0,
                                "'%s' can be written by others than its owner: chmod go-w", what);
        return 0;
}

/* The path of a file in sites.d, as a person would open it. */
static int conf_path(int conf_fd, const char *name, char **ret_path, struct err *err)
{
        char link[64], dir[1024];
        ssize_t n;

        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", conf_fd);
        n = readlink(link, dir, sizeof(dir) - 1);
        dir[n < 0 ? 0 : n] = '\0';
        if (asprintf(ret_path, "%s%s" SITE_CONF_DIR "/%s.conf", dir, n < 0 ? "" : "/", name) < 0)
                return err_oom(err);
        return 0;
}

int site_read_trusted(int conf_fd, const char *dir, const char *name, const char *path,
                      char **ret_text, struct err *err)
{
        CLEANUP(closep) int dir_fd = -1;
        CLEANUP(closep) int fd = -1;
        CLEANUP(freep) char *text = NULL;
        char file[64];
        struct stat st;
        size_t n;

        (void)snprintf(file, sizeof(file), "%s.conf", name);
        if (safepath_open(conf_fd, dir, O_RDONLY | O_DIRECTORY, &dir_fd, err) < 0 ||
            check_trusted(dir_fd, dir, err) < 0 ||
            safepath_open(dir_fd, file, O_RDONLY, &fd, err) < 0)
                return err->code == ERR_NOT_FOUND
                               ? err_fail(err, ERR_NOT_FOUND, 0, "there is no '%s'", path)
                               : -1;
        if (check_trusted(fd, path, err) < 0)
                return -1;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return err_fail(err, ERR_INVALID, 0, "'%s' is not a regular file", path);
        if (file_read_fd(fd, SITE_FILE_MAX, &text, &n, err) < 0)
                return err_wrap(err, "'%s'", path);
        if (memchr(text, '\0', n) != NULL)
                return err_fail(err, ERR_INVALID, 0, "'%s' has a NUL byte in it", path);
        *ret_text = STEAL(text);
        return 0;
}

int site_new(const char *name, struct site **ret_site, struct err *err)
{
        CLEANUP(site_freep) struct site *site = calloc(1, sizeof(*site));

        if (site == NULL || (site->name = strdup(name)) == NULL ||
            (site->shared = calloc(1, sizeof(*site->shared))) == NULL)
                return err_oom(err);
        for (const struct site_key *key = site_keys; key->key != NULL; key++)
                if (key->preset != NULL && key->kind->read(site, key, key->preset, err) < 0)
                        return -1;
        *ret_site = STEAL(site);
        return 0;
}

static void text_take(struct loader *l, const char *text)
{
        static const char bom[] = "\xEF\xBB\xBF";

        /* Debian's inih has these as variables.  Values are taken as they are: what looks like
         * an inline comment or a continued line would silently become part of a path. */
        ini_allow_multiline = false;
        ini_allow_inline_comments = false;
        ini_max_line = SITE_LINE_MAX;

        l->next = text + (strncmp(text, bom, 3) == 0 ? 3 : 0);
        (void)ini_parse_stream((ini_reader)line_next, l, key_take, l); /* line_next() saw it all */

        probe_end(l);
        l->line = 0;
        if (l->preset)
                return;
        for (const struct site_key *key = site_keys; key->key != NULL; key++)
                if (key->required && l->lines[key - site_keys] == 0)
                        mistake(l, key->key, "missing in [%s]: %s", key->section, key->help);
        if (site_check_all(l->site, check_take, l, &l->fatal) < 0)
                return;
}

int site_set(struct site *site, const char *section, const char *name, const char *text,
             struct err *err)
{
        const struct site_key *key = site_key_find(section, name);

        if (key == NULL)
                return err_fail(err, ERR_INVALID, 0, "[%s] has no '%.40s'", section, name);
        if (text == NULL || text[0] == '\0')
                return err_fail(err, ERR_INVALID, 0, "'%s' of [%s] has no value", name, section);
        return key->kind->read(site, key, text, err) < 0 ? err_wrap(err, "'%s'", name) : 0;
}

void site_free(struct site *site)
{
        if (site == NULL)
                return;
        for (const struct site_key *key = site_keys; key->key != NULL; key++)
                if (key->kind->done != NULL)
                        key->kind->done(site, key);
        probe_list_done(&site->probes);
        free(site->name);
        free(site);
}

static int loader_result(const struct loader *l, struct err *err)
{
        if (l->fatal.code != 0) {
                *err = l->fatal;
                return -1;
        }
        if (l->mistakes > 1)
                return err_fail(err, ERR_INVALID, 0, "%.400s (and %zu more)", l->first.msg,
                                l->mistakes - 1);
        if (l->mistakes > 0) {
                *err = l->first;
                return -1;
        }
        return 0;
}

int site_parse(const char *name, const char *file, const char *text, struct site_problems *problems,
               struct site **ret_site, struct err *err)
{
        CLEANUP(site_freep) struct site *site = NULL;
        struct loader l = { .problems = problems, .file = file };

        if (site_name_valid(name, err) < 0 || site_new(name, &site, err) < 0)
                return -1;
        l.site = site;
        text_take(&l, text);
        if (loader_result(&l, err) < 0)
                return -1;
        *ret_site = STEAL(site);
        return 0;
}

int site_parse_preset(const char *name, const char *file, const char *text,
                      struct site_problems *problems, struct probe_list *ret_list, struct err *err)
{
        CLEANUP(site_freep) struct site *site = NULL;
        struct loader l = { .problems = problems, .file = file, .preset = true };

        if (site_new(name, &site, err) < 0)
                return -1;
        l.site = site;
        text_take(&l, text);
        if (loader_result(&l, err) < 0)
                return -1;
        *ret_list = site->probes;
        site->probes = (struct probe_list){ 0 };
        return 0;
}

int site_load(int conf_fd, const char *name, struct site_problems *problems, struct site **ret_site,
              struct err *err)
{
        CLEANUP(freep) char *path = NULL;
        CLEANUP(freep) char *text = NULL;

        if (site_name_valid(name, err) < 0 || conf_path(conf_fd, name, &path, err) < 0 ||
            site_read_trusted(conf_fd, SITE_CONF_DIR, name, path, &text, err) < 0)
                return err->code == ERR_NOT_FOUND
                               ? err_fail(err, ERR_NOT_FOUND, 0, "no site '%s': there is no '%s'",
                                          name, path)
                               : -1;
        return site_parse(name, path, text, problems, ret_site, err);
}
