/* 256 bits: VAES and VPCLMULQDQ with AVX2. */
#include "internal.h"

#if defined(__x86_64__)
#include <string.h>

#define TIER __attribute__((target("avx2,aes,pclmul,vaes,vpclmulqdq")))
#define KERNELS native_kernels_vaes256
#define LANES 2
#define GROUP 8
#define INLINE_V TIER static inline __attribute__((always_inline))

typedef __m256i vec;

/* 32 bytes of ones, then zeros: a window over it masks the first bytes of a vector. */
_Alignas(32) static const uint8_t ones[64] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

INLINE_V vec v_zero(void) { return _mm256_setzero_si256(); }
INLINE_V vec v_load(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE_V void v_store(uint8_t *p, vec v) { _mm256_storeu_si256((__m256i *)p, v); }
INLINE_V vec v_xor(vec a, vec b) { return _mm256_xor_si256(a, b); }
INLINE_V vec v_xor3(vec a, vec b, vec c) { return _mm256_xor_si256(_mm256_xor_si256(a, b), c); }
INLINE_V vec v_add32(vec a, vec b) { return _mm256_add_epi32(a, b); }
INLINE_V vec v_reverse(vec v) {
    return _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
                                                                           13, 14, 15)));
}
INLINE_V vec v_broadcast(const uint8_t *p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
}
INLINE_V vec v_lanes_from(uint32_t n) { return _mm256_set_epi32(0, 0, 0, (int)(n + 1), 0, 0, 0, (int)n); }
INLINE_V vec v_count(uint32_t n) { return _mm256_set_epi32(0, 0, 0, (int)n, 0, 0, 0, (int)n); }
INLINE_V vec v_aesenc(vec v, vec k) { return _mm256_aesenc_epi128(v, k); }
INLINE_V vec v_aesenclast(vec v, vec k) { return _mm256_aesenclast_epi128(v, k); }
#define v_clmul(a, b, imm) _mm256_clmulepi64_epi128(a, b, imm)
INLINE_V vec v_swap(vec v) { return _mm256_shuffle_epi32(v, 0x4e); }
INLINE_V vec v_poly(void) {
    return _mm256_broadcastsi128_si256(_mm_set_epi64x((long long)0xc200000000000000, 1));
}
INLINE_V vec v_low(__m128i x) { return _mm256_zextsi128_si256(x); }
INLINE_V vec v_at(__m128i x, size_t lane) {
    /* The mask of the wanted half: zeros, then ones, from where that puts ones over it. */
    const vec half = _mm256_loadu_si256((const __m256i *)(ones + 16));
    const vec wanted = lane ? _mm256_xor_si256(half, _mm256_set1_epi8(-1)) : half;
    return _mm256_and_si256(_mm256_broadcastsi128_si256(x), wanted);
}
INLINE_V __m128i v_fold(vec v) {
    return _mm_xor_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}
INLINE_V vec v_load_part(const uint8_t *p, size_t n) {
    _Alignas(32) uint8_t part[32] = {0};
    memcpy(part, p, n);
    return _mm256_load_si256((const __m256i *)part);
}
INLINE_V void v_store_part(uint8_t *p, vec v, size_t n) {
    _Alignas(32) uint8_t part[32];
    _mm256_store_si256((__m256i *)part, v);
    memcpy(p, part, n);
}
INLINE_V vec v_keep(vec v, size_t n) {
    return _mm256_and_si256(v, _mm256_loadu_si256((const __m256i *)(ones + 32 - n)));
}

#include "tier.h"
#endif
