/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * probes DIR PORT SITES SECONDS INTERVAL_MSEC [own | tls]: Measure SITES sites at a web server on
 * PORT of the loopback, and print what the process that does it takes.  By default all are behind
 * one address; `own` gives each an address of its own (127.0.x.y), and so a connection of its own;
 * `tls` does it by https.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/error.h"
#include "snapd/prober.h"
#include "snapd/prober_process.h"

__attribute__((constructor)) static void probe_instead_of_bench(int argc, char **argv)
{
        if (argc > 9 && strcmp(argv[9], "--probe") == 0)
                _exit(prober_main());
}

static uint64_t good, bad, unknown;
static bool shown;

static void news(const char *site, const struct site_probe *probe, const struct sample *sample,
                 void *arg)
{
        (void)probe;
        (void)arg;
        good += sample->good;
        bad += sample->bad;
        unknown += sample->unknown;
        if (sample->good == 0 && !shown) {
                char *text = json_dumps(sample->examples, 0);

                shown = true;
                (void)fprintf(stderr, "%s: %s\n", site, text == NULL ? "" : text);
                free(text);
        }
}

/* The only child. */
static long child_pid(void)
{
        char path[64];
        long pid = 0;
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
        file = fopen(path, "re");
        if (file == NULL || fscanf(file, "%ld", &pid) != 1)
                pid = 0;
        if (file != NULL)
                (void)fclose(file);
        return pid;
}

static double cpu_sec(long pid)
{
        unsigned long user = 0, system = 0;
        char path[64];
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
        file = fopen(path, "re");
        if (file == NULL || fscanf(file,
                                   "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
                                   "%lu %lu",
                                   &user, &system) != 2)
                user = system = 0;
        if (file != NULL)
                (void)fclose(file);
        return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static unsigned long peak_kib(long pid)
{
        char path[64], line[200];
        unsigned long kib = 0;
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/%ld/status", pid);
        file = fopen(path, "re");
        while (file != NULL && fgets(line, sizeof(line), file) != NULL)
                if (sscanf(line, "VmHWM: %lu", &kib) == 1)
                        break;
        if (file != NULL)
                (void)fclose(file);
        return kib;
}

static int site_measure(struct prober *prober, unsigned n, const char *port, const char *msec,
                        const char *kind, struct err *err)
{
        char text[600], name[32], place[120];
        struct site *site;
        int r;

        (void)snprintf(name, sizeof(name), "s%u", n);
        if (kind != NULL)
                (void)snprintf(place, sizeof(place), "url = %s://127.0.%u.%u:%s/\ntls = any",
                               strcmp(kind, "tls") == 0 ? "https" : "http", 1 + n / 250,
                               1 + n % 250, port);
        else
                (void)snprintf(place, sizeof(place),
                               "url = http://s%u.invalid/\naddress = 127.0.0.1:%s", n, port);
        (void)snprintf(text, sizeof(text),
                       "[site]\nhome = /srv/s\nowner = daemon\n[probe page]\ninterval = %sms\n"
                       "status = 200\nexpect = nginx\n%s\n",
                       msec, place);
        if (site_parse(name, "bench", text, NULL, &site, err) < 0)
                return -1;
        r = prober_set(prober, site, &site->probes, err);
        site_free(site);
        return r;
}

static void run(sd_event *event, double seconds)
{
        int64_t end = clock_boot_usec() + (int64_t)(seconds * 1000000);

        while (clock_boot_usec() < end)
                (void)sd_event_run(event, 50000);
}

int main(int argc, char **argv)
{
        struct dirs dirs = { .socket = "none" };
        struct prober *prober;
        sd_event *event = NULL;
        struct err err = { 0 };
        double cpu, seconds;
        int64_t began;
        long pid;

        if (argc < 6) {
                (void)fprintf(stderr,
                              "usage: probes DIR PORT SITES SECONDS INTERVAL_MSEC [own | tls]\n");
                return 2;
        }
        dirs.state = dirs.run = dirs.conf = argv[1];
        dirs.run_fd = dirs.state_fd = dirs.conf_fd =
                open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        seconds = strtod(argv[4], NULL);
        if (dirs.run_fd < 0 || sd_event_new(&event) < 0 ||
            prober_open(event, &dirs, news, NULL, &prober, &err) < 0)
                return 1;
        for (unsigned n = 0; n < strtoul(argv[3], NULL, 10); n++)
                if (site_measure(prober, n, argv[2], argv[5], argv[6], &err) < 0) {
                        (void)fprintf(stderr, "%s\n", err.msg);
                        return 1;
                }
        /* A first round, in which connections are made. */
        run(event, strtod(argv[5], NULL) / 1000 + 1);
        pid = child_pid();
        good = bad = unknown = 0;
        cpu = cpu_sec(pid);
        began = clock_boot_usec();
        run(event, seconds);
        seconds = (double)(clock_boot_usec() - began) / 1000000;
        cpu = cpu_sec(pid) - cpu;
        (void)printf("%s sites every %s ms%s: %.0f requests/s (%.1f %% of a core, %.0f requests "
                     "per second of a core), %.1f MB at most; %llu good, %llu bad, %llu unknown\n",
                     argv[3], argv[5],
                     argc <= 6                     ? ""
                     : strcmp(argv[6], "tls") == 0 ? ", by https, a connection each"
                                                   : ", a connection each",
                     (double)(good + bad + unknown) / seconds, 100 * cpu / seconds,
                     (double)(good + bad + unknown) / cpu, (double)peak_kib(pid) / 1024,
                     (unsigned long long)good, (unsigned long long)bad,
                     (unsigned long long)unknown);
        prober_close(prober);
        (void)sd_event_unref(event);
        return 0;
}
