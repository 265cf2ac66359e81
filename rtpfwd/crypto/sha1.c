/* SHA-1 (FIPS 180-4) with the SHA instructions, one, two or four messages side by side.
 *
 * Inside one message each step waits for the one before, so one message leaves most of the unit idle. Four need more
 * registers than the sixteen that these instructions reach; their message words live in memory, which costs less.
 */
#include "internal.h"

#if defined(__x86_64__)
#include <string.h>

#define SHA __attribute__((target("sse4.1,ssse3,sha")))
#define SHA_INLINE SHA static inline __attribute__((always_inline))

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 4")
#endif

enum { BLOCK = 64, DIGEST = 20 };

SHA_INLINE __m128i load_words(const uint8_t *p) {
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)p),
                            _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

/* Four rounds, number g of the twenty groups of a block; f is the round function, g / 5. `words` is a ring of the last
 * sixteen message words; e_before is abcd as it was before the previous group. */
#define FOUR_ROUNDS(g, f)                                                                                             \
    UNROLL for (int l = 0; l < lanes; l++) {                                                                          \
        if ((g) < 4)                                                                                                  \
            words[(g) % 4][l] = load_words(at[l] + 16 * (g));                                                         \
        else                                                                                                          \
            words[(g) % 4][l] = _mm_sha1msg2_epu32(                                                                   \
                _mm_xor_si128(_mm_sha1msg1_epu32(words[(g) % 4][l], words[((g) + 1) % 4][l]),                         \
                              words[((g) + 2) % 4][l]),                                                               \
                words[((g) + 3) % 4][l]);                                                                             \
        const __m128i e = (g) ? _mm_sha1nexte_epu32(e_before[l], words[(g) % 4][l])                                   \
                              : _mm_add_epi32(e_before[l], words[0][l]);                                              \
        e_before[l] = abcd[l];                                                                                        \
        abcd[l] = _mm_sha1rnds4_epu32(abcd[l], e, f);                                                                 \
    }

#define FIVE_GROUPS(g, f)                                                                                             \
    FOUR_ROUNDS((g), f) FOUR_ROUNDS((g) + 1, f) FOUR_ROUNDS((g) + 2, f) FOUR_ROUNDS((g) + 3, f) FOUR_ROUNDS((g) + 4, f)

SHA_INLINE void blocks_of(sha1_run *const *runs, size_t blocks, const int lanes) {
    __m128i abcd[4], e_before[4], words[4][4];
    const uint8_t *at[4];
    UNROLL for (int l = 0; l < lanes; l++) {
        abcd[l] = runs[l]->state.abcd;
        e_before[l] = runs[l]->state.e;
        at[l] = runs[l]->at;
    }
    for (; blocks; blocks--) {
        FIVE_GROUPS(0, 0)
        FIVE_GROUPS(5, 1)
        FIVE_GROUPS(10, 2)
        FIVE_GROUPS(15, 3)
        UNROLL for (int l = 0; l < lanes; l++) {
            e_before[l] = runs[l]->state.e = _mm_sha1nexte_epu32(e_before[l], runs[l]->state.e);
            abcd[l] = runs[l]->state.abcd = _mm_add_epi32(abcd[l], runs[l]->state.abcd);
            at[l] += BLOCK;
        }
    }
    UNROLL for (int l = 0; l < lanes; l++) runs[l]->at = at[l];
}

SHA void native_sha1_x1(sha1_run *const *runs, size_t blocks) { blocks_of(runs, blocks, 1); }
SHA void native_sha1_x2(sha1_run *const *runs, size_t blocks) { blocks_of(runs, blocks, 2); }
SHA void native_sha1_x4(sha1_run *const *runs, size_t blocks) { blocks_of(runs, blocks, 4); }

void native_sha1_init(sha1_state *state) {
    state->abcd = _mm_set_epi32(0x67452301, (int)0xefcdab89, (int)0x98badcfe, 0x10325476);
    state->e = _mm_set_epi32((int)0xc3d2e1f0, 0, 0, 0);
}

SHA void native_sha1_digest(const sha1_state *state, uint8_t *digest) {
    const uint32_t e = __builtin_bswap32((uint32_t)_mm_extract_epi32(state->e, 3));
    _mm_storeu_si128((__m128i *)digest, load_words((const uint8_t *)&state->abcd));
    memcpy(digest + 16, &e, sizeof e);
}

/* RFC 2104: the states after the key xored with 0x36s and with 0x5cs. */
void native_hmac_states(cm_states *states, const uint8_t *key, size_t size) {
    _Alignas(16) uint8_t pad[BLOCK];
    sha1_run run, *runs[1] = {&run};
    sha1_state *out[2] = {&states->inner, &states->outer};
    for (int side = 0; side < 2; side++) {
        memset(pad, 0, sizeof pad);
        memcpy(pad, key, size);
        for (int i = 0; i < BLOCK; i++)
            pad[i] ^= side ? 0x5c : 0x36;
        native_sha1_init(&run.state);
        run.at = pad;
        native_sha1_x1(runs, 1);
        *out[side] = run.state;
    }
    native_wipe(pad, sizeof pad);
    native_wipe(&run, sizeof run);
}

#endif
