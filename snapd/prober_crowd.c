/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapd/prober_crowd.h"

#define WAYS       4 /* places that a URL may be remembered at */
#define SETS       (CROWD_URLS / WAYS)
#define HEAVY      3  /* at most three have more than a quarter each */
#define HEAVY_MIN  16 /* more than chance */
#define HEAVY_MOST 256
#define WELL_MOST  255

/* What counted, by whom or where. */
struct part {
        uint64_t key; /* 0: nobody */
        float counted;
};
struct parts {
        struct part items[CROWD_NETWORKS];
        float all;
};

struct crowd {
        struct parts networks, paths;
        /* Networks with more than a quarter of all answers are among these (Misra, Gries 1982). */
        struct {
                uint64_t key;
                unsigned ahead;
        } heavy[HEAVY];
        uint32_t urls[CROWD_URLS]; /* 0: none */
        uint8_t well[CROWD_URLS];  /* how often it was */
        unsigned intervals;
};

/* Who makes up addresses and URLs must not know which of them are taken for each other. */
static EVP_MAC_CTX *hasher(void)
{
        static EVP_MAC_CTX *context;
        size_t size = sizeof(uint64_t);
        unsigned char key[16];
        OSSL_PARAM params[] = { OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                                OSSL_PARAM_construct_end() };
        EVP_MAC *mac;

        if (context != NULL || RAND_bytes(key, sizeof(key)) != 1)
                return context;
        mac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_SIPHASH, NULL);
        context = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
        if (context != NULL && EVP_MAC_init(context, key, sizeof(key), params) != 1) {
                EVP_MAC_CTX_free(context);
                context = NULL;
        }
        EVP_MAC_free(mac);
        return context;
}

/* Never 0. */
static uint64_t hash(const void *data, size_t n)
{
        EVP_MAC_CTX *context = EVP_MAC_CTX_dup(hasher());
        uint64_t key = 0;

        if (context != NULL) {
                (void)EVP_MAC_update(context, data, n);
                (void)EVP_MAC_final(context, (unsigned char *)&key, NULL, sizeof(key));
        }
        EVP_MAC_CTX_free(context);
        return key == 0 ? 1 : key;
}

/* What has no address that can be read is one network by what it says. */
static uint64_t network_of(const struct line *line)
{
        unsigned char address[16];
        static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

        if (inet_pton(AF_INET, line->address, address) == 1)
                return hash(address, 3);
        if (inet_pton(AF_INET6, line->address, address) != 1)
                return hash(line->address, strlen(line->address));
        return memcmp(address, mapped, sizeof(mapped)) == 0 ? hash(address + 12, 3)
                                                            : hash(address, 6);
}

static uint64_t url_of(const struct line *line)
{
        char url[sizeof(line->method) + sizeof(line->path) + sizeof(line->query) + 2];
        int n = snprintf(url, sizeof(url), "%s %s?%s", line->method, line->path, line->query);

        return hash(url, (size_t)n);
}

static struct part *part_find(struct parts *parts, uint64_t key)
{
        for (size_t i = 0; i < CROWD_NETWORKS; i++)
                if (parts->items[i].key == key)
                        return &parts->items[i];
        return NULL;
}

static bool part_has_room(struct parts *parts, uint64_t key)
{
        const struct part *part = part_find(parts, key);

        return part == NULL || part->counted + 1 <= CROWD_FREE + (parts->all + 1) / CROWD_PART;
}

/* Whoever has the fewest is forgotten when it is full. */
static void part_count(struct parts *parts, uint64_t key)
{
        struct part *part = part_find(parts, key);

        if (part == NULL) {
                part = &parts->items[0];
                for (size_t i = 1; i < CROWD_NETWORKS; i++)
                        if (parts->items[i].counted < part->counted)
                                part = &parts->items[i];
                *part = (struct part){ .key = key };
        }
        part->counted++;
        parts->all++;
}

static void parts_fade(struct parts *parts)
{
        for (size_t i = 0; i < CROWD_NETWORKS; i++)
                parts->items[i].counted -= parts->items[i].counted / CROWD_FADE;
        parts->all -= parts->all / CROWD_FADE;
}

static void heavy_count(struct crowd *crowd, uint64_t network)
{
        for (size_t i = 0; i < HEAVY; i++)
                if (crowd->heavy[i].key == network) {
                        crowd->heavy[i].ahead += crowd->heavy[i].ahead < HEAVY_MOST;
                        return;
                }
        for (size_t i = 0; i < HEAVY; i++)
                if (crowd->heavy[i].ahead == 0) {
                        crowd->heavy[i].key = network;
                        crowd->heavy[i].ahead = 1;
                        return;
                }
        for (size_t i = 0; i < HEAVY; i++)
                crowd->heavy[i].ahead--;
}

static bool is_heavy(const struct crowd *crowd, uint64_t network)
{
        for (size_t i = 0; i < HEAVY; i++)
                if (crowd->heavy[i].key == network)
                        return crowd->heavy[i].ahead >= HEAVY_MIN;
        return false;
}

/* Where the URL is remembered; NULL: it is not. */
static uint8_t *url_find(struct crowd *crowd, uint64_t url)
{
        size_t at = url % SETS * WAYS;

        for (size_t i = at; i < at + WAYS; i++)
                if (crowd->urls[i] == (uint32_t)(url >> 32 | 1))
                        return &crowd->well[i];
        return NULL;
}

static void url_well(struct crowd *crowd, uint64_t url)
{
        size_t at = url % SETS * WAYS, least = at;
        uint8_t *well = url_find(crowd, url);

        if (well != NULL) {
                *well = (uint8_t)(*well + (*well < WELL_MOST));
                return;
        }
        for (size_t i = at + 1; i < at + WAYS; i++)
                if (crowd->well[i] < crowd->well[least])
                        least = i;
        crowd->urls[least] = (uint32_t)(url >> 32 | 1);
        crowd->well[least] = 1;
}

int crowd_open(struct crowd **ret_crowd, struct err *err)
{
        struct crowd *crowd;

        if (hasher() == NULL)
                return err_fail(err, ERR_IO, 0, "addresses cannot be hashed by OpenSSL");
        crowd = calloc(1, sizeof(*crowd));
        if (crowd == NULL)
                return err_oom(err);
        *ret_crowd = crowd;
        return 0;
}

void crowd_close(struct crowd *crowd)
{
        free(crowd);
}

/* A page that was seen once or twice stays known until something else needs its place. */
void crowd_interval(struct crowd *crowd)
{
        size_t at = crowd->intervals++ % SETS * WAYS;

        parts_fade(&crowd->networks);
        parts_fade(&crowd->paths);
        for (size_t i = at; i < at + WAYS; i++)
                crowd->well[i] = (uint8_t)(crowd->well[i] - crowd->well[i] / 4);
}

void crowd_well(struct crowd *crowd, const struct line *line)
{
        heavy_count(crowd, network_of(line));
        url_well(crowd, url_of(line));
}

bool crowd_fails(struct crowd *crowd, const struct line *line)
{
        uint64_t network = network_of(line), path;
        uint8_t *well = url_find(crowd, url_of(line));

        heavy_count(crowd, network);
        if (!part_has_room(&crowd->networks, network)) {
                if (well == NULL || *well == 0 || !is_heavy(crowd, network))
                        return false;
                --*well;
                return true;
        }
        if (well == NULL) {
                path = hash(line->path, strlen(line->path));
                if (!part_has_room(&crowd->paths, path))
                        return false;
                part_count(&crowd->paths, path);
        }
        part_count(&crowd->networks, network);
        return true;
}
