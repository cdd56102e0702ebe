/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "snapd/prober_crowd.h"
#include "snapd/prober_line.h"
#include "snapd/prober_task.h"

#define BLOCK_BYTES 65536 /* read in one turn of the loop, so that others get theirs */
#define FILES       2     /* the log, and before it the one that was rotated and may still grow */

/* So much of what was there before is read, to know which pages were well. */
#define LEARN_BYTES (256 * 1024)

/* A line that is so much older than the look before is one that its server kept for a while; its
 * time is rounded down by up to a second. */
#define LATE_USEC (3 * USEC_PER_SEC / 2)

/* No request takes longer than that, and the lines of a clock that is behind count again. */
#define TAKES_MAX_USEC (3600 * (int64_t)USEC_PER_SEC)

struct logfile {
        int fd; /* -1: none */
        off_t at;
        off_t old_until;   /* lines that begin before are of another time */
        bool inside;       /* of a line whose beginning was passed over */
        int64_t seen_usec; /* all that was written before then was read; 0: not known */
};

struct reader {
        struct crowd *crowd;
        struct logfile files[FILES]; /* the oldest first */
        bool begun; /* a first log was passed: later ones are read from their beginning */
        sd_event_source *turn;
        size_t file;      /* the one that is read now */
        uint64_t left;    /* of max_bytes in this interval */
        uint64_t skipped; /* bytes passed over in this interval */
        unsigned unreadable, older;
        int64_t now_usec, before_usec; /* when this interval's reading began, and the one before */
        int64_t wall_usec;             /* what the wall clock is ahead of the boot clock */
        bool late;                     /* lines come later than they are written */
        bool grown[FILES];
};

static void logfile_close(struct logfile *file)
{
        closep(&file->fd);
        *file = (struct logfile){ .fd = -1 };
}

static void log_close(struct task *task)
{
        struct reader *reader = task->state;

        if (reader == NULL)
                return;
        (void)sd_event_source_disable_unref(reader->turn);
        for (size_t i = 0; i < FILES; i++)
                logfile_close(&reader->files[i]);
        crowd_close(reader->crowd);
        free(reader);
        task->state = NULL;
}

/* What may be read in one interval. */
static uint64_t room_of(const struct task *task)
{
        return task->probe.max_bytes < BLOCK_BYTES ? BLOCK_BYTES : task->probe.max_bytes;
}

/* The newest is last.  What has begun before us is not counted: its lines are of another time. */
static void log_take(struct task *task, int fd)
{
        struct reader *reader = task->state;
        struct logfile file = { .fd = fd };
        struct stat st;

        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                (void)close(fd);
                return;
        }
        if (!reader->begun && st.st_size > 0) {
                off_t learn =
                        room_of(task) / 2 < LEARN_BYTES ? (off_t)(room_of(task) / 2) : LEARN_BYTES;

                file.at = st.st_size > learn ? st.st_size - learn : 0;
                file.inside = file.at > 0;
                file.old_until = st.st_size; /* a line may be half there */
        }
        /* A new one was begun after the look before the newest, or that one had found it. */
        file.seen_usec = reader->begun ? reader->before_usec : clock_boot_usec();
        reader->begun = true;
        logfile_close(&reader->files[0]);
        reader->files[0] = reader->files[1];
        reader->files[1] = file;
}

static bool host_is(const char *has, const char *wanted)
{
        size_t n = strlen(wanted);

        return strncasecmp(has, wanted, n) == 0 && (has[n] == '\0' || has[n] == ':');
}

/* When the request began, at the earliest.  Without a time in the line it ended after the last look
 * at the log, and so it did with one, unless the server keeps lines for a while: with
 * `access_log ... buffer=`, or with a clock that is behind ours.  One that is ahead says nothing.
 */
static int64_t line_began(struct reader *reader, const struct logfile *file,
                          const struct line *line, int64_t settle_usec)
{
        int64_t stamp = line->wall_usec - reader->wall_usec, ended, began;
        bool stamped = line->wall_usec != 0 && stamp <= reader->now_usec;

        if (stamped && stamp + (line->usec > 0 ? line->usec : 0) + LATE_USEC < file->seen_usec)
                reader->late = true;
        ended = reader->late ? 0 : file->seen_usec;
        if (stamped && stamp > ended)
                ended = stamp;
        began = ended - (line->usec >= 0 ? line->usec : settle_usec);
        return stamped && line->asked && stamp > began ? stamp : began;
}

/* Was it asked before what is served was?  What answered then may have been another version. */
static bool line_is_older(struct task *task, const struct logfile *file, const struct line *line)
{
        struct reader *reader = task->state;
        const struct task_served *served = &task->served;
        int64_t began = line_began(reader, file, line, served->settle_usec);

        return reader->now_usec - served->since_usec < TAKES_MAX_USEC && began < served->since_usec;
}

/* A visitor's, and of this site? */
static bool line_is_ours(const struct task *task, const struct line *line)
{
        return strcmp(line->agent, task->agent) != 0 &&
               (task->probe.host == NULL || host_is(line->host, task->probe.host));
}

static void line_learn(struct task *task, const char *text, size_t n)
{
        struct reader *reader = task->state;
        struct line line;

        if (line_read(&task->probe, text, n, &line) && line.status < 400 &&
            line_is_ours(task, &line))
                crowd_well(reader->crowd, &line);
}

static void line_bad(struct task *task, const struct line *line, struct tally_answer *answer)
{
        struct reader *reader = task->state;
        bool counts = crowd_fails(reader->crowd, line);

        answer->verdict = PROBE_BAD;
        (void)snprintf(answer->what, sizeof(answer->what), "%s got status %u",
                       counts ? "a visitor" : "one of a few visitors", line->status);
        if (!counts) {
                task->sample.lone++;
                answer->usec = -1; /* nor is it too slow */
        }
}

static void line_count(struct task *task, const struct logfile *file, const char *text, size_t n)
{
        struct reader *reader = task->state;
        struct tally_answer answer = { .excerpt = text, .n_excerpt = n };
        struct line line;

        if (!line_read(&task->probe, text, n, &line)) {
                reader->unreadable++;
                return;
        }
        if (!line_is_ours(task, &line))
                return;
        answer.usec = line.usec;
        answer.url = line.path;
        answer.status = line.status;
        if (line_is_older(task, file, &line)) {
                reader->older++;
                answer.verdict = PROBE_UNKNOWN;
        } else if (line.status < 400) {
                answer.verdict = PROBE_GOOD;
                crowd_well(reader->crowd, &line);
        } else if (line.status < 500 || (task->held && line.status == 503)) {
                answer.verdict = PROBE_UNKNOWN;
        } else {
                line_bad(task, &line, &answer);
        }
        tally_add(&task->sample, &answer);
}

/* Take the whole lines of a block; how many bytes that were. */
static size_t lines_count(struct task *task, struct logfile *file, const char *data, size_t n)
{
        size_t at = 0;
        const char *end;

        while ((end = memchr(data + at, '\n', n - at)) != NULL) {
                size_t length = (size_t)(end - data) - at;

                size_t whole = length > 0 && end[-1] == '\r' ? length - 1 : length;

                if (!file->inside && file->at + (off_t)at < file->old_until)
                        line_learn(task, data + at, whole);
                else if (!file->inside)
                        line_count(task, file, data + at, whole);
                file->inside = false;
                at += length + 1;
        }
        /* A line without an end that is longer than any: its rest is passed over. */
        if (n - at > LINE_MAX_BYTES) {
                file->inside = true;
                at = n;
        }
        return at;
}

static void answer_unknown(struct task *task, const char *what)
{
        struct tally_answer answer = { .verdict = PROBE_UNKNOWN, .usec = -1 };

        (void)snprintf(answer.what, sizeof(answer.what), "%s", what);
        tally_add(&task->sample, &answer);
}

static void reading_end(struct task *task)
{
        struct reader *reader = task->state;
        char text[100];

        reader->turn = sd_event_source_disable_unref(reader->turn);
        if (reader->unreadable > 0) {
                (void)snprintf(text, sizeof(text), "%u lines are not of the log's format",
                               reader->unreadable);
                answer_unknown(task, text);
        }
        if (reader->skipped > 0) {
                (void)snprintf(text, sizeof(text),
                               "%" PRIu64 " bytes of the log were passed over, more than max_bytes",
                               reader->skipped);
                answer_unknown(task, text);
        }
        if (reader->older > 0) {
                (void)snprintf(text, sizeof(text),
                               "%u requests may have begun before this version was served",
                               reader->older);
                answer_unknown(task, text);
        }
        if (reader->files[1].fd < 0)
                answer_unknown(task, "the log cannot be read");
        else if (task->sample.good == 0 && task->sample.bad == 0 && task->sample.unknown == 0)
                answer_unknown(task, "no visitors");
        for (size_t i = 0; i < FILES; i++)
                reader->files[i].seen_usec = reader->now_usec;
        /* A log that was rotated and that nobody writes to any more. */
        if (reader->files[0].fd >= 0 && !reader->grown[0])
                logfile_close(&reader->files[0]);
        task_end(task);
}

/* One block of a file.  False when it has no more for now. */
static bool block_read(struct task *task, struct logfile *file, bool *ret_grown)
{
        static char data[BLOCK_BYTES];
        struct reader *reader = task->state;
        struct stat st;
        ssize_t n;
        size_t taken;

        if (file->fd < 0 || fstat(file->fd, &st) < 0)
                return false;
        if (st.st_size < file->at) { /* cut by a rotation that copies */
                file->at = 0;
                file->old_until = 0;
                file->inside = false;
        }
        if (st.st_size == file->at)
                return false;
        if (reader->left < BLOCK_BYTES) {
                reader->skipped += (uint64_t)(st.st_size - file->at);
                file->at = st.st_size - 1;
                file->inside = true;
                return false;
        }
        n = pread(file->fd, data, sizeof(data), file->at);
        if (n <= 0)
                return false;
        taken = lines_count(task, file, data, (size_t)n);
        file->at += (off_t)taken;
        reader->left -= (uint64_t)n;
        *ret_grown |= taken > 0;
        return taken > 0;
}

static int on_turn(sd_event_source *source, void *arg)
{
        struct task *task = arg;
        struct reader *reader = task->state;

        if (!block_read(task, &reader->files[reader->file], &reader->grown[reader->file]) &&
            ++reader->file == FILES) {
                reading_end(task);
                return 0;
        }
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void log_measure(struct task *task)
{
        struct reader *reader = task->state;

        reader->file = 0;
        reader->left = room_of(task);
        crowd_interval(reader->crowd);
        reader->skipped = 0;
        reader->unreadable = 0;
        reader->older = 0;
        reader->before_usec = reader->now_usec;
        reader->now_usec = clock_boot_usec();
        reader->wall_usec = clock_wall_usec() - reader->now_usec;
        memset(reader->grown, 0, sizeof(reader->grown));
        if (sd_event_add_defer(tasks_event(task->tasks), &reader->turn, on_turn, task) < 0)
                reading_end(task);
}

static int log_open(struct task *task, struct err *err)
{
        struct reader *reader = calloc(1, sizeof(*reader));

        if (reader == NULL)
                return err_oom(err);
        if (crowd_open(&reader->crowd, err) < 0) {
                free(reader);
                return -1;
        }
        for (size_t i = 0; i < FILES; i++)
                reader->files[i].fd = -1;
        task->state = reader;
        return 0;
}

const struct task_kind task_kind_accesslog = { log_open, log_close, log_measure, log_take };
