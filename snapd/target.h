/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_TARGET_H
#define SNAPD_TARGET_H

/*
 * A target of notices: notices.d/NAME.conf says who is told, of what, and how.
 *
 *   [notice]                            [mail]
 *   kind = mail                         server = smtp://mail.example.org:587
 *   phases = failed rolled-back held    from = sitesnap@example.org
 *   sites = wiki shop                   to = admin@example.org
 *   digest = 1h                         user = ..., secret_file = /etc/sitesnap/mail.secret
 *
 * The files are root's own, read by the daemon; what they name (a server, a command) is only ever
 * touched by the process that delivers (snapd/deliver.h).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "snapd/notice.h"
#include "snapd/site.h"

#define TARGET_DIR        "notices.d" /* in the configuration directory */
#define TARGET_SECRET_MAX 1024
#define TARGET_CA_MAX     262144

enum target_kind { TARGET_MAIL, TARGET_WEBHOOK, TARGET_COMMAND, TARGET_KINDS };
enum target_tls { TLS_REQUIRED, TLS_TRY, TLS_NO, TLS_KINDS };

struct notice_target {
        char *name;
        unsigned kind;       /* enum target_kind */
        unsigned phases;     /* bits 1 << enum notice_phase */
        char **sites;        /* NULL-terminated; NULL: all, and the host */
        uint64_t digest_sec; /* 0: each notice at once and alone */
        struct {
                char *server, *from;
                char **to;
                unsigned starttls; /* enum target_tls */
                char *user, *secret_file, *ca_file;
        } mail;
        struct {
                char *url;
                char *secret_file, *ca_file;
        } webhook;
        struct {
                char **argv;
                char *user;
                uid_t uid;
                gid_t gid;
                uint64_t timeout_sec;
        } command;
};

/* target_parse(name, file, text, problems, ret_target, err): As target_load(), from ${text} as it
 * would stand in ${file}. */
int target_parse(const char *name, const char *file, const char *text,
                 struct site_problems *problems, struct notice_target **ret_target,
                 struct err *err) MUST_CHECK;

/* target_load(conf_fd, name, problems, ret_target, err): Read notices.d/NAME.conf.  ERR_NOT_FOUND;
 * ERR_REFUSED: others than root could have written it; ERR_INVALID names file, line and key of the
 * first mistake, and all of them are added to ${problems} when it is not NULL.  Give the result to
 * target_free(). */
int target_load(int conf_fd, const char *name, struct site_problems *problems,
                struct notice_target **ret_target, struct err *err) MUST_CHECK;

/* target_free(target): NULL is fine. */
void target_free(struct notice_target *target);
DEFINE_CLEANUP(struct notice_target *, target_free);

/* target_names(conf_fd, visit, arg, err): Call ${visit} with the name of every file in notices.d,
 * in order, until it returns -1, which is then the result.  No directory, no names. */
typedef int (*target_visit)(const char *name, void *arg, struct err *err);
int target_names(int conf_fd, target_visit visit, void *arg, struct err *err) MUST_CHECK;

/* target_wants(target, phase, site): Is this one told?  ${site} "" is the host.  Tests are for
 * everybody. */
bool target_wants(const struct notice_target *target, enum notice_phase phase, const char *site);

/* target_secret(target, ret_secret, err), target_ca(target, ret_pem, err): The content of its
 * secret file, without the line's end, and of its file of certificates; NULL when it names none.
 * ERR_REFUSED: the secret's file is not root's alone (0600).  The caller frees. */
int target_secret(const struct notice_target *target, char **ret_secret,
                  struct err *err) MUST_CHECK;
int target_ca(const struct notice_target *target, char **ret_pem, struct err *err) MUST_CHECK;

/* target_kind_name(kind): "mail", ... */
const char *target_kind_name(unsigned kind);

#endif
