/* 128 bits: AES-NI and PCLMULQDQ. */
#include "internal.h"

#if defined(__x86_64__)
#include <string.h>

#define TIER __attribute__((target("sse4.1,ssse3,aes,pclmul")))
#define KERNELS native_kernels_aesni
#define LANES 1
#define GROUP 8
#define INLINE_V TIER static inline __attribute__((always_inline))

typedef __m128i vec;

INLINE_V vec v_zero(void) { return _mm_setzero_si128(); }
INLINE_V vec v_load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE_V void v_store(uint8_t *p, vec v) { _mm_storeu_si128((__m128i *)p, v); }
INLINE_V vec v_xor(vec a, vec b) { return _mm_xor_si128(a, b); }
INLINE_V vec v_xor3(vec a, vec b, vec c) { return _mm_xor_si128(_mm_xor_si128(a, b), c); }
INLINE_V vec v_add32(vec a, vec b) { return _mm_add_epi32(a, b); }
INLINE_V vec v_reverse(vec v) {
    return _mm_shuffle_epi8(v, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}
INLINE_V vec v_broadcast(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE_V vec v_lanes_from(uint32_t n) { return _mm_cvtsi32_si128((int)n); }
INLINE_V vec v_count(uint32_t n) { return _mm_cvtsi32_si128((int)n); }
INLINE_V vec v_aesenc(vec v, vec k) { return _mm_aesenc_si128(v, k); }
INLINE_V vec v_aesenclast(vec v, vec k) { return _mm_aesenclast_si128(v, k); }
#define v_clmul(a, b, imm) _mm_clmulepi64_si128(a, b, imm)
INLINE_V vec v_swap(vec v) { return _mm_shuffle_epi32(v, 0x4e); }
INLINE_V vec v_poly(void) { return _mm_set_epi64x((long long)0xc200000000000000, 1); }
INLINE_V vec v_low(__m128i x) { return x; }
INLINE_V vec v_at(__m128i x, size_t lane) {
    (void)lane; /* the only one */
    return x;
}
INLINE_V __m128i v_fold(vec v) { return v; }
INLINE_V vec v_load_part(const uint8_t *p, size_t n) {
    _Alignas(16) uint8_t part[16] = {0};
    memcpy(part, p, n);
    return _mm_load_si128((const __m128i *)part);
}
INLINE_V void v_store_part(uint8_t *p, vec v, size_t n) {
    _Alignas(16) uint8_t part[16];
    _mm_store_si128((__m128i *)part, v);
    memcpy(p, part, n);
}
INLINE_V vec v_keep(vec v, size_t n) {
    _Alignas(16) static const uint8_t mask[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                                  255, 255, 255, 255, 255, 255, 255, 255};
    return _mm_and_si128(v, _mm_loadu_si128((const __m128i *)(mask + 16 - n)));
}

#include "tier.h"
#endif
