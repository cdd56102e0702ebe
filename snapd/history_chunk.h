/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SNAPD_HISTORY_CHUNK_H
#define SNAPD_HISTORY_CHUNK_H

/*
 * Some rounds in a row, and the bytes they are kept as: per round good, bad and unknown as
 * numbers of seven bits a byte, and the buckets of the median and of the 95th percentile.
 */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "snapd/sample.h"

#define CHUNK_ROUNDS_MAX 96
#define CHUNK_BODY_MAX   (CHUNK_ROUNDS_MAX * 17)
#define CHUNK_NO_TIME    255

struct chunk_level {
        int round_sec;
        unsigned rounds, kept; /* in a chunk; chunks */
        int64_t span_sec;
};

struct chunk_round {
        uint32_t good, bad, unknown;
        uint8_t p50, p95; /* buckets */
};

struct chunk {
        unsigned level;
        int64_t start_sec; /* 0: nothing in it */
        struct chunk_round rounds[CHUNK_ROUNDS_MAX];
        /* The round that is being counted. */
        unsigned now;
        uint32_t latency[SAMPLE_BUCKETS];
};

/* chunk_level(level): How long its rounds are and how many there are. */
const struct chunk_level *chunk_level(unsigned level);

/* chunk_start(level, sec): When the chunk begins that ${sec} falls into. */
int64_t chunk_start(unsigned level, int64_t sec);

/* chunk_begin(chunk, level, start_sec): Empty. */
void chunk_begin(struct chunk *chunk, unsigned level, int64_t start_sec);

/* chunk_add(chunk, sec, sample): Count it in its round. */
void chunk_add(struct chunk *chunk, int64_t sec, const struct sample *sample);

/* chunk_round_end(chunk): No more is counted in the newest round. */
void chunk_round_end(struct chunk *chunk);

/* chunk_pack(chunk, body), chunk_unpack(chunk, body, n): To bytes and back; what is not well
 * formed ends the reading. */
size_t chunk_pack(const struct chunk *chunk, uint8_t body[static CHUNK_BODY_MAX]);
void chunk_unpack(struct chunk *chunk, const uint8_t *body, size_t n);

/* chunk_json(chunk, rounds): Append the rounds in which something was measured. */
void chunk_json(const struct chunk *chunk, json_t *rounds);

#endif
