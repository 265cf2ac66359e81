/* Whole SRTCP packets: a few blocks each, one packet at a time, and keys that are usually not in the cache.
 *
 * 128 bits do for that, so every tier shares this code and the key has only four powers of H (control_key). AES is done
 * eight blocks abreast, however few are needed: they take hardly longer than one.
 */
#include "internal.h"

#include <string.h>

#if defined(__x86_64__)

#define SSE __attribute__((target("sse4.1,ssse3,aes,pclmul")))
#define INLINE SSE static inline __attribute__((always_inline))

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum { HEADER = NATIVE_CONTROL_HEADER, WORD = NATIVE_CONTROL_WORD, ABREAST = 8, DIGEST = 20, ENCRYPTED = 0x80 };

INLINE __m128i reversed(__m128i block) {
    return _mm_shuffle_epi8(block, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

INLINE __m128i load_part(const uint8_t *from, size_t size) {
    _Alignas(16) uint8_t part[16] = {0};
    memcpy(part, from, size);
    return _mm_load_si128((const __m128i *)part);
}

typedef struct keystream {
    const control_key *key;
    __m128i next; /* the counter block behind those below, reversed */
    __m128i blocks[ABREAST];
    size_t used; /* of them */
} keystream;

SSE static void refill(keystream *s) {
    const __m128i *k = (const __m128i *)s->key->round_keys;
    __m128i blocks[ABREAST];
    UNROLL
    for (int i = 0; i < ABREAST; i++) {
        blocks[i] = _mm_xor_si128(reversed(s->next), k[0]);
        s->next = _mm_add_epi32(s->next, _mm_cvtsi32_si128(1));
    }
    UNROLL
    for (int round = 1; round < AES_ROUNDS; round++) {
        UNROLL
        for (int i = 0; i < ABREAST; i++)
            blocks[i] = _mm_aesenc_si128(blocks[i], k[round]);
    }
    UNROLL
    for (int i = 0; i < ABREAST; i++)
        s->blocks[i] = _mm_aesenclast_si128(blocks[i], k[AES_ROUNDS]);
    s->used = 0;
}

/* From the SSRC in the header and the index. GCM (RFC 7714 section 9.1): 00 00 | SSRC | 00 00 | index, then the
 * counter, which begins with 1 for the tag. CM (RFC 3711 section 4.1.1): two bytes further on, the counter with 0. */
SSE static void keystream_begin(keystream *s, const control_key *key, const uint8_t *packet, uint32_t index, int gcm) {
    const size_t at = gcm ? 2 : 4;
    const uint32_t index_be = __builtin_bswap32(index);
    _Alignas(16) uint8_t block[16] = {0};
    memcpy(block + at, packet + 4, 4);
    memcpy(block + at + 6, &index_be, 4);
    block[15] = (uint8_t)gcm;
    s->key = key;
    const __m128i salt = _mm_load_si128((const __m128i *)key->salt);
    s->next = reversed(_mm_xor_si128(_mm_load_si128((const __m128i *)block), salt));
    refill(s);
}

SSE static void apply(keystream *s, uint8_t *data, size_t size) {
    for (; size; data += 16, size -= 16) {
        if (s->used == ABREAST)
            refill(s);
        const __m128i stream = s->blocks[s->used++];
        if (size < 16) {
            _Alignas(16) uint8_t part[16];
            _mm_store_si128((__m128i *)part, _mm_xor_si128(load_part(data, size), stream));
            memcpy(data, part, size);
            return;
        }
        _mm_storeu_si128((__m128i *)data, _mm_xor_si128(_mm_loadu_si128((const __m128i *)data), stream));
    }
}

/* GHASH as in tier.h: products with powers of H multiplied by x, up to four of them summed before a reduction. */
typedef struct ghash {
    const control_key *key;
    __m128i hash, low, middle, high;
    size_t left, group; /* blocks to come, and how many of those before the next reduction */
} ghash;

INLINE void absorb(ghash *g, __m128i block) {
    const __m128i poly = _mm_set_epi64x((long long)0xc200000000000000, 1);
    block = reversed(block);
    if (g->group == 0) {
        g->group = g->left < CONTROL_POWERS ? g->left : CONTROL_POWERS;
        g->low = g->middle = g->high = _mm_setzero_si128();
        block = _mm_xor_si128(block, g->hash);
    }
    const __m128i h = _mm_load_si128((const __m128i *)g->key->mac.powers[CONTROL_POWERS - g->group]);
    g->low = _mm_xor_si128(g->low, _mm_clmulepi64_si128(block, h, 0x00));
    g->high = _mm_xor_si128(g->high, _mm_clmulepi64_si128(block, h, 0x11));
    g->middle = _mm_xor_si128(g->middle, _mm_clmulepi64_si128(block, h, 0x01));
    g->middle = _mm_xor_si128(g->middle, _mm_clmulepi64_si128(block, h, 0x10));
    g->left--;
    if (--g->group)
        return;
    __m128i middle = _mm_xor_si128(g->middle, _mm_shuffle_epi32(g->low, 0x4e));
    middle = _mm_xor_si128(middle, _mm_clmulepi64_si128(g->low, poly, 0x10));
    g->hash = _mm_xor_si128(g->high, _mm_shuffle_epi32(middle, 0x4e));
    g->hash = _mm_xor_si128(g->hash, _mm_clmulepi64_si128(middle, poly, 0x10));
}

/* The tag over `clear` bytes at the packet's start with `word` behind them, then `size` bytes of ciphertext. */
SSE static __m128i tag_of(const control_key *key, const uint8_t *packet, size_t clear, const uint8_t *word, size_t size,
                          __m128i mask) {
    const size_t rest = clear % 16, additional = clear + WORD;
    const uint8_t *text = packet + clear;
    ghash g = {.key = key, .hash = _mm_setzero_si128(), .left = (additional + 15) / 16 + (size + 15) / 16 + 1};
    _Alignas(16) uint8_t end[32] = {0};
    memcpy(end, packet + clear - rest, rest);
    memcpy(end + rest, word, WORD);
    for (size_t at = 0; at + 16 <= clear; at += 16)
        absorb(&g, _mm_loadu_si128((const __m128i *)(packet + at)));
    for (size_t at = 0; at < rest + WORD; at += 16)
        absorb(&g, _mm_load_si128((const __m128i *)(end + at)));
    for (size_t at = 0; at < size; at += 16)
        absorb(&g, size - at < 16 ? load_part(text + at, size - at) : _mm_loadu_si128((const __m128i *)(text + at)));
    absorb(&g, reversed(_mm_set_epi64x((long long)(additional * 8), (long long)(size * 8))));
    return _mm_xor_si128(reversed(g.hash), mask);
}

SSE static size_t protect_gcm(const control_key *key, uint8_t *packet, size_t size, uint32_t index) {
    const uint32_t word = __builtin_bswap32(index | (uint32_t)ENCRYPTED << 24);
    uint8_t *tag = packet + size;
    keystream s;
    keystream_begin(&s, key, packet, index, 1);
    const __m128i mask = s.blocks[s.used++];
    memcpy(tag + NATIVE_GCM_TAG, &word, WORD);
    apply(&s, packet + HEADER, size - HEADER);
    _mm_storeu_si128((__m128i *)tag, tag_of(key, packet, HEADER, tag + NATIVE_GCM_TAG, size - HEADER, mask));
    return size + NATIVE_GCM_TAG + WORD;
}

static size_t protect_cm(const control_key *key, uint8_t *packet, size_t size, uint32_t index) {
    const uint32_t word = __builtin_bswap32(index | (uint32_t)ENCRYPTED << 24);
    uint8_t digest[DIGEST];
    keystream s;
    keystream_begin(&s, key, packet, index, 0);
    apply(&s, packet + HEADER, size - HEADER);
    memcpy(packet + size, &word, WORD);
    native_hmac_alone(&key->mac.cm, packet, size + WORD, digest);
    memcpy(packet + size + WORD, digest, NATIVE_CM_TAG);
    return size + WORD + NATIVE_CM_TAG;
}

size_t native_protect_control(const native_key *key, uint8_t *packet, size_t size, uint32_t index) {
    return key->profile == NATIVE_GCM ? protect_gcm(&key->control, packet, size, index)
                                      : protect_cm(&key->control, packet, size, index);
}

static uint32_t index_at(const uint8_t *word) {
    uint32_t found;
    memcpy(&found, word, WORD);
    return __builtin_bswap32(found) & 0x7fffffff;
}

SSE static int unprotect_gcm(const control_key *key, uint8_t *packet, size_t size) {
    const size_t end = size - WORD - NATIVE_GCM_TAG;
    const uint8_t *word = packet + size - WORD;
    const size_t clear = word[0] & ENCRYPTED ? HEADER : end;
    uint8_t tag[NATIVE_GCM_TAG];
    keystream s;
    keystream_begin(&s, key, packet, index_at(word), 1);
    const __m128i mask = s.blocks[s.used++];
    _mm_storeu_si128((__m128i *)tag, tag_of(key, packet, clear, word, end - clear, mask));
    if (!native_equal(tag, packet + end, NATIVE_GCM_TAG))
        return NATIVE_BAD_TAG;
    apply(&s, packet + clear, end - clear);
    return NATIVE_OK;
}

static int unprotect_cm(const control_key *key, uint8_t *packet, size_t size) {
    const size_t tagged = size - NATIVE_CM_TAG, end = tagged - WORD;
    uint8_t digest[DIGEST];
    keystream s;
    native_hmac_alone(&key->mac.cm, packet, tagged, digest);
    if (!native_equal(digest, packet + tagged, NATIVE_CM_TAG))
        return NATIVE_BAD_TAG;
    keystream_begin(&s, key, packet, index_at(packet + end), 0);
    apply(&s, packet + HEADER, end - HEADER);
    return NATIVE_OK;
}

int native_unprotect_control(const native_key *key, uint8_t *packet, size_t size) {
    const int gcm = key->profile == NATIVE_GCM;
    if (size < (size_t)HEADER + (gcm ? NATIVE_GCM_TAG : NATIVE_CM_TAG) + WORD)
        return NATIVE_SHORT;
    return gcm ? unprotect_gcm(&key->control, packet, size) : unprotect_cm(&key->control, packet, size);
}

static void set_keys(native_key *made, const uint8_t *key, const uint8_t *salt) {
    memset(made, 0, sizeof *made);
    made->profile = NATIVE_GCM;
    memcpy(made->control.salt, salt, 12);
    native_set_aes_key(made->control.round_keys, key);
    native_set_control_powers(&made->control);
}

int native_protect_control_with(const uint8_t *key, const uint8_t *salt, uint8_t *packet, size_t size, uint32_t index) {
    native_key made;
    if (!native_has_tier(NATIVE_GCM, NATIVE_AESNI))
        return -1;
    set_keys(&made, key, salt);
    native_protect_control(&made, packet, size, index);
    native_wipe(&made, sizeof made);
    return 0;
}

int native_unprotect_control_with(const uint8_t *key, const uint8_t *salt, uint8_t *packet, size_t size) {
    native_key made;
    if (!native_has_tier(NATIVE_GCM, NATIVE_AESNI))
        return -1;
    set_keys(&made, key, salt);
    const int status = native_unprotect_control(&made, packet, size);
    native_wipe(&made, sizeof made);
    return status;
}

#else /* Not x86-64: there is no key, and these can't be called but for the last two. */

size_t native_protect_control(const native_key *key, uint8_t *packet, size_t size, uint32_t index) {
    (void)key, (void)packet, (void)index;
    return size;
}

int native_unprotect_control(const native_key *key, uint8_t *packet, size_t size) {
    (void)key, (void)packet, (void)size;
    return NATIVE_BAD_TAG;
}

int native_protect_control_with(const uint8_t *key, const uint8_t *salt, uint8_t *packet, size_t size, uint32_t index) {
    (void)key, (void)salt, (void)packet, (void)size, (void)index;
    return -1;
}

int native_unprotect_control_with(const uint8_t *key, const uint8_t *salt, uint8_t *packet, size_t size) {
    (void)key, (void)salt, (void)packet, (void)size;
    return -1;
}

#endif
