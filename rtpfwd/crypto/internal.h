/* What the C files of this folder share. */
#ifndef RTPFWD_CRYPTO_INTERNAL_H
#define RTPFWD_CRYPTO_INTERNAL_H

#include "native.h"

#if defined(__x86_64__)
#include <immintrin.h>

enum {
    AES_ROUNDS = 10,
    POWERS = 20, /* of the GHASH key: one more than the 16 blocks of a group, so that a tail takes the lengths too;
                  * 20 puts H**16 on a cache line's border */
    POWERS_PAD = 3, /* zeros behind H**1, for vectors that begin in the last powers */
    CONTROL_POWERS = 4 /* for SRTCP, whose packets are a few blocks */
};

/* SHA-1's chaining value in the order of the SHA instructions: a in the highest word of abcd, e in the highest of e. */
typedef struct sha1_state {
    __m128i abcd, e;
} sha1_state;

typedef struct gcm_tables {
    /* H**20 ... H**1, each multiplied by x, in bit-reflected order. */
    _Alignas(16) uint8_t powers[POWERS + POWERS_PAD][16];
} gcm_tables;

typedef struct cm_states {
    sha1_state inner, outer; /* HMAC after the key's block */
} cm_states;

/* SRTCP's session keys: four cache lines, all of which a packet needs. */
typedef struct control_key {
    _Alignas(64) uint8_t round_keys[AES_ROUNDS + 1][16];
    uint8_t salt[16]; /* zeros behind it */
    union {
        uint8_t powers[CONTROL_POWERS][16]; /* H**4 ... H**1, as in gcm_tables */
        cm_states cm;
    } mac;
} control_key;

typedef struct tier_kernels tier_kernels;

/* Thirteen cache lines, the last four of them SRTCP's. */
struct native_key {
    _Alignas(64) union {
        gcm_tables gcm;
        cm_states cm;
    } mac;
    _Alignas(16) uint8_t round_keys[AES_ROUNDS + 1][16];
    uint8_t salt[16]; /* the session salt, zeros behind it */
    const tier_kernels *kernels;
    int profile, tier;
    control_key control;
};

_Static_assert(sizeof(control_key) == 256 && sizeof(native_key) == 832, "padding costs every transport");

/* One tier's inner loops. `block`: the counter block to begin with. */
struct tier_kernels {
    void (*ctr)(const native_key *key, const uint8_t *block, const uint8_t *in, size_t size, uint8_t *out);
    /* Encrypt and write the tag in one pass. `nonce` is 12 bytes. */
    void (*seal)(const native_key *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_size, const uint8_t *in,
                 size_t size, uint8_t *out, uint8_t *tag);
    /* The tag of a ciphertext. */
    void (*tag)(const native_key *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_size, const uint8_t *in,
                size_t size, uint8_t *tag);
};

extern const tier_kernels native_kernels_aesni, native_kernels_vaes256, native_kernels_vaes512;

const tier_kernels *native_tier_kernels(int tier);
int native_has_sha(void);

/* keys.c */
void native_set_aes_key(uint8_t (*round_keys)[16], const uint8_t *aes_key);
void native_set_gcm_tables(native_key *key);
void native_set_control_powers(control_key *key);

/* sha1.c. A run: whole blocks of 64 bytes from `at` into `state`. */
typedef struct sha1_run {
    sha1_state state;
    const uint8_t *at;
} sha1_run;

void native_sha1_init(sha1_state *state);
/* `runs`: 1, 2 or 4 of them at once; each moves on by `blocks`. */
void native_sha1_x1(sha1_run *const *runs, size_t blocks);
void native_sha1_x2(sha1_run *const *runs, size_t blocks);
void native_sha1_x4(sha1_run *const *runs, size_t blocks);
void native_sha1_digest(const sha1_state *state, uint8_t *digest);
void native_hmac_states(cm_states *states, const uint8_t *key, size_t size);

/* packets.c: the HMAC of one text; `digest` has room for 20 bytes. */
void native_hmac_alone(const cm_states *states, const uint8_t *text, size_t size, uint8_t *digest);

/* Whether two tags are equal, in a time that does not depend on where they differ. */
static inline int native_equal(const uint8_t *a, const uint8_t *b, size_t size) {
    unsigned difference = 0;
    for (size_t i = 0; i < size; i++)
        difference |= (unsigned)(a[i] ^ b[i]);
    return difference == 0;
}

#endif

/* A memset that no compiler leaves out. */
void native_wipe(void *data, size_t size);

#endif
