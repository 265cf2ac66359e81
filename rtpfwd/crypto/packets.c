/* Whole SRTP packets: nonces, counter blocks, tags; and several packets' HMACs side by side. */
#include "internal.h"

#include <string.h>

#if defined(__x86_64__)

enum {
    HEADER = 12, /* bytes of an RTP header without CSRCs */
    BLOCK = 64,
    DIGEST = 20,
    ROC = 4,  /* bytes authenticated behind the packet (RFC 3711 section 4.2) */
    LANES = 4 /* HMACs side by side */
};

/* RFC 7714 section 8.1: 00 00 | SSRC | ROC | SEQ, xored with the salt. */
static void gcm_nonce(const native_key *key, uint32_t ssrc, uint64_t index, uint8_t *nonce) {
    const uint32_t ssrc_be = __builtin_bswap32(ssrc);
    const uint64_t index_be = __builtin_bswap64(index << 16);
    memset(nonce, 0, 2);
    memcpy(nonce + 2, &ssrc_be, 4);
    memcpy(nonce + 6, &index_be, 6);
    for (int i = 0; i < 12; i++)
        nonce[i] ^= key->salt[i];
}

/* RFC 3711 section 4.1.1: salt << 16, SSRC << 64 and index << 16, xored; the last 16 bits count blocks. */
static void cm_block(const native_key *key, uint32_t ssrc, uint64_t index, uint8_t *block) {
    const uint32_t ssrc_be = __builtin_bswap32(ssrc);
    const uint64_t index_be = __builtin_bswap64(index << 16);
    memset(block, 0, 16);
    memcpy(block + 4, &ssrc_be, 4);
    memcpy(block + 8, &index_be, 8);
    for (int i = 0; i < 14; i++)
        block[i] ^= key->salt[i];
}

static void protect_gcm(const native_job *job) {
    uint8_t nonce[12], *out = job->packet + job->header_size;
    gcm_nonce(job->key, job->ssrc, job->index, nonce);
    job->key->kernels->seal(job->key, nonce, job->packet, job->header_size, job->payload, job->payload_size, out,
                            out + job->payload_size);
}

/* An HMAC under way: its whole blocks, the padded end with the ROC, then the outer hash. */
typedef struct hmac {
    sha1_run run;
    size_t blocks; /* left of this part */
    enum { WHOLE, END, OUTER } part;
    size_t end_blocks;
    const cm_states *states;
    uint8_t *tag;
    _Alignas(16) uint8_t end[2 * BLOCK];
} hmac;

/* The padding of SHA-1 behind `used` bytes of `end`: a one bit, zeros, the length in bits. Blocks used. */
static size_t pad(uint8_t *end, size_t used, uint64_t total) {
    const size_t blocks = used + 9 <= BLOCK ? 1 : 2;
    const uint64_t bits = __builtin_bswap64(8 * total);
    end[used] = 0x80;
    memset(end + used + 1, 0, BLOCK * blocks - 8 - used - 1);
    memcpy(end + BLOCK * blocks - 8, &bits, 8);
    return blocks;
}

/* `more` is `more_size` <= 8 bytes behind the text. */
static void hmac_begin(hmac *h, const cm_states *states, const uint8_t *text, size_t size, const uint8_t *more,
                       size_t more_size, uint8_t *tag) {
    const size_t rest = size % BLOCK;
    h->run.state = states->inner;
    h->run.at = text;
    h->blocks = size / BLOCK;
    h->part = WHOLE;
    h->states = states;
    h->tag = tag;
    memcpy(h->end, text + size - rest, rest);
    memcpy(h->end + rest, more, more_size);
    h->end_blocks = pad(h->end, rest + more_size, BLOCK + size + more_size);
}

/* To the next part that has blocks. 0: there is none, and `digest` has the HMAC. */
static int hmac_next(hmac *h, uint8_t *digest) {
    if (h->part == WHOLE) {
        h->part = END;
        h->run.at = h->end;
        h->blocks = h->end_blocks;
    } else if (h->part == END) {
        h->part = OUTER;
        native_sha1_digest(&h->run.state, h->end);
        h->run.state = h->states->outer;
        h->run.at = h->end;
        h->blocks = pad(h->end, DIGEST, BLOCK + DIGEST);
    } else {
        native_sha1_digest(&h->run.state, digest);
        return 0;
    }
    return 1;
}

static void hmac_alone(hmac *h, uint8_t *digest) {
    sha1_run *runs[1] = {&h->run};
    do
        native_sha1_x1(runs, h->blocks);
    while (hmac_next(h, digest));
}

/* One step of `count` HMACs: as many blocks as all of them have left in their parts. */
static void hmacs_step(hmac *const *active, size_t count) {
    sha1_run idle, *runs[LANES];
    size_t blocks = active[0]->blocks;
    for (size_t i = 0; i < count; i++) {
        runs[i] = &active[i]->run;
        if (active[i]->blocks < blocks)
            blocks = active[i]->blocks;
    }
    if (count == 1) {
        native_sha1_x1(runs, blocks);
    } else if (count == 2) {
        native_sha1_x2(runs, blocks);
    } else {
        if (count == 3) { /* an idle lane costs less than one after the other */
            idle = active[0]->run;
            runs[3] = &idle;
        }
        native_sha1_x4(runs, blocks);
    }
    for (size_t i = 0; i < count; i++)
        active[i]->blocks -= blocks;
}

void native_hmac_alone(const cm_states *states, const uint8_t *text, size_t size, uint8_t *digest) {
    hmac h;
    hmac_begin(&h, states, text, size, text, 0, NULL);
    hmac_alone(&h, digest);
}

static void encrypt_cm(const native_job *job) {
    uint8_t block[16];
    cm_block(job->key, job->ssrc, job->index, block);
    job->key->kernels->ctr(job->key, block, job->payload, job->payload_size, job->packet + job->header_size);
}

static void begin_cm(hmac *h, const native_job *job) {
    const uint32_t roc = __builtin_bswap32((uint32_t)(job->index >> 16));
    const size_t size = job->header_size + job->payload_size;
    encrypt_cm(job);
    hmac_begin(h, &job->key->mac.cm, job->packet, size, (const uint8_t *)&roc, ROC, job->packet + size);
}

/* GCM packets are done as they come; CM ones enter a lane each, and the next when one is through. */
void native_protect(const native_job *jobs, size_t count) {
    hmac lanes[LANES], *active[LANES];
    uint8_t digest[DIGEST];
    size_t busy = 0, used = 0;
    for (size_t next = 0; next < count || busy;) {
        if (next < count && jobs[next].key->profile == NATIVE_GCM) {
            protect_gcm(&jobs[next++]);
            continue;
        }
        if (next < count && busy < LANES) {
            if (busy == used) /* else active[busy] is a lane that has become free */
                active[used] = &lanes[used], used++;
            begin_cm(active[busy++], &jobs[next++]);
            continue;
        }
        hmacs_step(active, busy);
        for (size_t i = 0; i < busy;) {
            hmac *h = active[i];
            int unfinished = 1;
            while (h->blocks == 0 && unfinished)
                unfinished = hmac_next(h, digest);
            if (unfinished) {
                i++;
                continue;
            }
            memcpy(h->tag, digest, NATIVE_CM_TAG);
            active[i] = active[--busy];
            active[busy] = h;
        }
    }
}

static int unprotect_gcm(const native_key *key, const uint8_t *packet, size_t header_size, size_t payload_size,
                         uint32_t ssrc, uint64_t index, uint8_t *out) {
    uint8_t block[16] = {0}, tag[16];
    const uint8_t *payload = packet + header_size;
    gcm_nonce(key, ssrc, index, block);
    key->kernels->tag(key, block, packet, header_size, payload, payload_size, tag);
    if (!native_equal(tag, payload + payload_size, NATIVE_GCM_TAG))
        return NATIVE_BAD_TAG;
    block[15] = 2; /* 1 is the tag's */
    key->kernels->ctr(key, block, payload, payload_size, out + header_size);
    return NATIVE_OK;
}

static int unprotect_cm(const native_key *key, const uint8_t *packet, size_t header_size, size_t payload_size,
                        uint32_t ssrc, uint64_t index, uint8_t *out) {
    const uint32_t roc = __builtin_bswap32((uint32_t)(index >> 16));
    const size_t size = header_size + payload_size;
    uint8_t block[16], digest[DIGEST];
    hmac h;
    hmac_begin(&h, &key->mac.cm, packet, size, (const uint8_t *)&roc, ROC, NULL);
    hmac_alone(&h, digest);
    if (!native_equal(digest, packet + size, NATIVE_CM_TAG))
        return NATIVE_BAD_TAG;
    cm_block(key, ssrc, index, block);
    key->kernels->ctr(key, block, packet + header_size, payload_size, out + header_size);
    return NATIVE_OK;
}

int native_unprotect(const native_key *key, const uint8_t *packet, size_t header_size, size_t size, uint32_t ssrc,
                     uint64_t index, uint8_t *out) {
    const int gcm = key->profile == NATIVE_GCM;
    const size_t tag_size = gcm ? NATIVE_GCM_TAG : NATIVE_CM_TAG;
    if (header_size < HEADER || size < header_size + tag_size)
        return NATIVE_SHORT;
    const size_t payload_size = size - header_size - tag_size;
    const int status = gcm ? unprotect_gcm(key, packet, header_size, payload_size, ssrc, index, out)
                           : unprotect_cm(key, packet, header_size, payload_size, ssrc, index, out);
    if (status == NATIVE_OK && out != packet)
        memcpy(out, packet, header_size);
    return status;
}

int native_gcm_seal(int tier, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_size,
                    const uint8_t *in, size_t size, uint8_t *out, uint8_t *tag) {
    native_key made;
    if (!native_has_tier(NATIVE_GCM, tier))
        return -1;
    native_set_aes_key(made.round_keys, key);
    native_set_gcm_tables(&made);
    native_tier_kernels(tier)->seal(&made, nonce, aad, aad_size, in, size, out, tag);
    native_wipe(&made, sizeof made);
    return 0;
}

int native_ctr(int tier, const uint8_t *key, const uint8_t *block, const uint8_t *in, size_t size, uint8_t *out) {
    native_key made;
    if (!native_has_tier(NATIVE_GCM, tier))
        return -1;
    native_set_aes_key(made.round_keys, key);
    native_tier_kernels(tier)->ctr(&made, block, in, size, out);
    native_wipe(&made, sizeof made);
    return 0;
}

int native_hmac_sha1(const uint8_t *key, size_t key_size, const uint8_t *text, size_t size, uint8_t *digest) {
    cm_states states;
    if (!native_has_sha() || key_size > BLOCK)
        return -1;
    native_hmac_states(&states, key, key_size);
    native_hmac_alone(&states, text, size, digest);
    native_wipe(&states, sizeof states);
    return 0;
}

#else /* Not x86-64: there is no tier, so no key, and the rest can't be called. */

native_key *native_key_create(int profile, int tier, const uint8_t *master) {
    (void)profile;
    (void)tier;
    (void)master;
    return NULL;
}

void native_key_free(native_key *key) { (void)key; }

int native_key_tier(const native_key *key) {
    (void)key;
    return NATIVE_NONE;
}

void native_protect(const native_job *jobs, size_t count) {
    (void)jobs;
    (void)count;
}

int native_unprotect(const native_key *key, const uint8_t *packet, size_t header_size, size_t size, uint32_t ssrc,
                     uint64_t index, uint8_t *out) {
    (void)key, (void)packet, (void)header_size, (void)size, (void)ssrc, (void)index, (void)out;
    return NATIVE_BAD_TAG;
}

int native_gcm_seal(int tier, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_size,
                    const uint8_t *in, size_t size, uint8_t *out, uint8_t *tag) {
    (void)tier, (void)key, (void)nonce, (void)aad, (void)aad_size, (void)in, (void)size, (void)out, (void)tag;
    return -1;
}

int native_ctr(int tier, const uint8_t *key, const uint8_t *block, const uint8_t *in, size_t size, uint8_t *out) {
    (void)tier, (void)key, (void)block, (void)in, (void)size, (void)out;
    return -1;
}

int native_hmac_sha1(const uint8_t *key, size_t key_size, const uint8_t *text, size_t size, uint8_t *digest) {
    (void)key, (void)key_size, (void)text, (void)size, (void)digest;
    return -1;
}

int native_derive(const uint8_t *master, int label, uint8_t *out, size_t size) {
    (void)master, (void)label, (void)out, (void)size;
    return -1;
}

#endif
