/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/safepath.h"
#include "snapd/expiry.h"
#include "snapd/front.h"
#include "snapd/notice_op.h"
#include "snapd/request.h"

#define AGAIN_USEC (5 * USEC_PER_SEC)

struct expiry {
        const struct dirs *dirs;
        struct catalog *catalog;
        struct sitecache *sites;
        struct spawner *spawner;
        sd_event_source *timer;
        bool again;  /* something is over and could not be ended yet */
        bool warned; /* somebody was told so */
};

static void tell(struct expiry *expiry, const char *site, const struct front_temporary *temporary,
                 const char *why)
{
        struct notice notice = {
                .phase = NOTICE_ALERT,
                .site = site,
                .from = temporary->version,
                .to = temporary->back,
                .what = "The time of the temporary rollback is over, and it goes on: nobody is "
                        "given a version that was marked bad without being asked.",
                .why = why,
        };
        CLEANUP(outbox_closep) struct outbox *outbox = NULL;
        struct err err;

        notice_site(&notice, sitecache_site(expiry->sites, site, NULL));
        if (outbox_open(expiry->dirs->state_fd, &outbox, &err) < 0 ||
            notice_put(outbox, &notice, &err) < 0)
                log_warning("site '%s': no notice: %s", site, err.msg);
}

/* It may not end by itself: from now on until somebody ends it, which is said once. */
static int temporary_goes_on(struct expiry *expiry, const char *site, const char *why,
                             struct err *err)
{
        struct front_temporary temporary;
        char text[sizeof(err->msg)];
        int has = front_temporary(expiry->catalog, site, &temporary, err);

        if (has <= 0)
                return has;
        (void)snprintf(text, sizeof(text), "%s", why);
        temporary.until_usec = 0;
        if (front_set_temporary(expiry->catalog, site, &temporary, err) < 0)
                return -1;
        log_warning("the temporary rollback of '%s' is over and goes on: %s", site, text);
        tell(expiry, site, &temporary, text);
        return 0;
}

static void end_temporary(struct expiry *expiry, const char *site)
{
        CLEANUP(json_decrefp)
        json_t *request = json_pack("{s:s, s:s}", "verb", "forward", "reason",
                                    "the time of the temporary rollback is over");
        struct err err;
        op_id id;

        if (request == NULL ||
            request_submit(expiry->dirs, expiry->catalog, site, request, 0, NULL, &id, &err) < 0) {
                if (request != NULL && err.code == ERR_REFUSED &&
                    temporary_goes_on(expiry, site, err.msg, &err) == 0)
                        return;
                expiry->again = true;
                if (request != NULL && err.code != ERR_BUSY && err.code != ERR_EXISTS)
                        log_warning("the temporary rollback of '%s' is over and cannot be ended: "
                                    "%s; it is tried again",
                                    site, err.msg);
                return;
        }
        spawner_start(expiry->spawner, id);
}

static int on_over(const char *name, bool temporary, void *arg, struct err *err)
{
        struct expiry *expiry = arg;
        const struct site *site = sitecache_site(expiry->sites, name, NULL);
        CLEANUP(closep) int home_fd = -1;

        if (temporary) {
                end_temporary(expiry, name);
                return 0;
        }
        /* One site that cannot be written must not keep another's link open. */
        if (site == NULL || safepath_open_trusted(site->home, &home_fd, err) < 0 ||
            front_render(expiry->catalog, site, home_fd, err) < 0) {
                if (!expiry->warned)
                        log_warning(
                                "a link to a version of '%s' is over and cannot be removed%s%s; "
                                "it is tried again",
                                name, site == NULL ? "" : ": ", site == NULL ? "" : err->msg);
                expiry->again = expiry->warned = true;
                return -1;
        }
        return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *arg)
{
        struct expiry *expiry = arg;
        struct err err;

        (void)source;
        (void)usec;
        expiry->again = false;
        if (front_expired(expiry->catalog, on_over, expiry, &err) < 0) {
                log_warning("%s", err.msg);
                expiry->again = true;
        }
        expiry->warned &= expiry->again;
        expiry_news(expiry);
        return 0;
}

void expiry_news(struct expiry *expiry)
{
        int64_t next = 0, now = clock_wall_usec();
        struct err err;

        if (front_next(expiry->catalog, &next, &err) < 0)
                next = now + AGAIN_USEC;
        if (next != 0 && next <= now && expiry->again)
                next = now + AGAIN_USEC;
        if (next == 0) {
                (void)sd_event_source_set_enabled(expiry->timer, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time(expiry->timer, (uint64_t)next);
        (void)sd_event_source_set_enabled(expiry->timer, SD_EVENT_ONESHOT);
}

static void on_news(void *arg)
{
        expiry_news(arg);
}

int expiry_open(sd_event *event, const struct dirs *dirs, struct catalog *catalog,
                struct sitecache *sites, struct spawner *spawner, struct expiry **ret_expiry,
                struct err *err)
{
        struct expiry *expiry = calloc(1, sizeof(*expiry));
        int r;

        if (expiry == NULL)
                return err_oom(err);
        *expiry = (struct expiry){
                .dirs = dirs, .catalog = catalog, .sites = sites, .spawner = spawner
        };
        r = sd_event_add_time(event, &expiry->timer, CLOCK_REALTIME, UINT64_MAX, USEC_PER_SEC / 10,
                              on_time, expiry);
        if (r < 0) {
                free(expiry);
                return err_fail(err, ERR_IO, -r, "cannot make a timer");
        }
        expiry_news(expiry);
        spawner_tell(spawner, on_news, expiry);
        *ret_expiry = expiry;
        return 0;
}

void expiry_close(struct expiry *expiry)
{
        if (expiry == NULL)
                return;
        spawner_untell(expiry->spawner, expiry);
        (void)sd_event_source_unref(expiry->timer);
        free(expiry);
}
