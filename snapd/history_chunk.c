/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <string.h>

#include "common/clock.h"
#include "snapd/history_chunk.h"

static const struct chunk_level levels[] = {
        { 10, 60, 7, 3600 },
        { 60, 60, 25, 86400 },
        { 900, 96, 31, 30 * 86400 },
};

const struct chunk_level *chunk_level(unsigned level)
{
        return &levels[level];
}

int64_t chunk_start(unsigned level, int64_t sec)
{
        int64_t length = levels[level].round_sec * (int64_t)levels[level].rounds;

        return sec - sec % length;
}

void chunk_begin(struct chunk *chunk, unsigned level, int64_t start_sec)
{
        memset(chunk, 0, sizeof(*chunk));
        chunk->level = level;
        chunk->start_sec = start_sec;
        for (unsigned i = 0; i < CHUNK_ROUNDS_MAX; i++)
                chunk->rounds[i].p50 = chunk->rounds[i].p95 = CHUNK_NO_TIME;
}

/* The bucket below which ${percent} of the answers are. */
static uint8_t percentile(const uint32_t latency[SAMPLE_BUCKETS], unsigned percent)
{
        uint64_t all = 0, below = 0;

        for (unsigned i = 0; i < SAMPLE_BUCKETS; i++)
                all += latency[i];
        for (unsigned i = 0; all > 0 && i < SAMPLE_BUCKETS; i++) {
                below += latency[i];
                if (100 * below >= percent * all)
                        return (uint8_t)i;
        }
        return CHUNK_NO_TIME;
}

void chunk_round_end(struct chunk *chunk)
{
        memset(chunk->latency, 0, sizeof(chunk->latency));
}

void chunk_add(struct chunk *chunk, int64_t sec, const struct sample *sample)
{
        unsigned i = (unsigned)((sec - chunk->start_sec) / levels[chunk->level].round_sec);
        struct chunk_round *round;

        if (i >= levels[chunk->level].rounds)
                return;
        if (i != chunk->now)
                chunk_round_end(chunk);
        chunk->now = i;
        round = &chunk->rounds[i];
        round->good += sample->good;
        round->bad += sample->bad;
        round->unknown += sample->unknown;
        for (unsigned k = 0; k < SAMPLE_BUCKETS; k++)
                chunk->latency[k] += sample->latency[k];
        round->p50 = percentile(chunk->latency, 50);
        round->p95 = percentile(chunk->latency, 95);
}

static size_t number_pack(uint32_t number, uint8_t *at)
{
        size_t n = 0;

        for (; number > 0x7f; number >>= 7)
                at[n++] = (uint8_t)(number | 0x80);
        at[n++] = (uint8_t)number;
        return n;
}

static size_t number_unpack(const uint8_t *at, size_t room, uint32_t *ret_number)
{
        uint32_t number = 0;

        for (size_t n = 0; n < room && n < 5; n++) {
                number |= (uint32_t)(at[n] & 0x7f) << (7 * n);
                if ((at[n] & 0x80) == 0) {
                        *ret_number = number;
                        return n + 1;
                }
        }
        return 0;
}

static unsigned last_round(const struct chunk *chunk)
{
        unsigned n = levels[chunk->level].rounds;

        while (n > 0 && chunk->rounds[n - 1].good == 0 && chunk->rounds[n - 1].bad == 0 &&
               chunk->rounds[n - 1].unknown == 0)
                n--;
        return n;
}

size_t chunk_pack(const struct chunk *chunk, uint8_t body[static CHUNK_BODY_MAX])
{
        unsigned rounds = last_round(chunk);
        size_t n = 0;

        for (unsigned i = 0; i < rounds; i++) {
                const struct chunk_round *round = &chunk->rounds[i];

                n += number_pack(round->good, body + n);
                n += number_pack(round->bad, body + n);
                n += number_pack(round->unknown, body + n);
                body[n++] = round->p50;
                body[n++] = round->p95;
        }
        return n;
}

void chunk_unpack(struct chunk *chunk, const uint8_t *body, size_t n)
{
        size_t at = 0;

        for (unsigned i = 0; i < levels[chunk->level].rounds && at < n; i++) {
                struct chunk_round round = { 0 };
                uint32_t *const numbers[] = { &round.good, &round.bad, &round.unknown };

                for (size_t k = 0; k < 3; k++) {
                        size_t used = number_unpack(body + at, n - at, numbers[k]);

                        if (used == 0)
                                return;
                        at += used;
                }
                if (n - at < 2)
                        return;
                round.p50 = body[at++];
                round.p95 = body[at++];
                chunk->rounds[i] = round;
        }
}

/* The upper end of a bucket, see snapd/sample.h. */
static json_t *msec_json(uint8_t bucket)
{
        if (bucket >= SAMPLE_BUCKETS)
                return json_null();
        return json_integer((json_int_t)ceil(pow(2, bucket / 2.0)));
}

void chunk_json(const struct chunk *chunk, json_t *rounds)
{
        char time[CLOCK_ISO_MAX];

        for (unsigned i = 0; i < levels[chunk->level].rounds; i++) {
                const struct chunk_round *round = &chunk->rounds[i];

                if (round->good == 0 && round->bad == 0 && round->unknown == 0)
                        continue;
                clock_iso((chunk->start_sec + (int64_t)i * levels[chunk->level].round_sec) *
                                  USEC_PER_SEC,
                          1, time);
                (void)json_array_append_new(
                        rounds,
                        json_pack("{s:s, s:I, s:I, s:I, s:o, s:o}", "time", time, "good",
                                  (json_int_t)round->good, "bad", (json_int_t)round->bad, "unknown",
                                  (json_int_t)round->unknown, "p50_msec", msec_json(round->p50),
                                  "p95_msec", msec_json(round->p95)));
        }
}
