/* 512 bits: VAES and VPCLMULQDQ with AVX-512. */
#include "internal.h"

#if defined(__x86_64__)
#include <string.h>

#define TIER __attribute__((target("avx2,aes,pclmul,vaes,vpclmulqdq,avx512f,avx512bw,avx512vl,avx512dq")))
#define KERNELS native_kernels_vaes512
#define LANES 4
#define GROUP 4
#define INLINE_V TIER static inline __attribute__((always_inline))

typedef __m512i vec;

INLINE_V __mmask64 first(size_t n) { return ((__mmask64)1 << n) - 1; }

INLINE_V vec v_zero(void) { return _mm512_setzero_si512(); }
INLINE_V vec v_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
INLINE_V void v_store(uint8_t *p, vec v) { _mm512_storeu_si512(p, v); }
INLINE_V vec v_xor(vec a, vec b) { return _mm512_xor_si512(a, b); }
INLINE_V vec v_xor3(vec a, vec b, vec c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
INLINE_V vec v_add32(vec a, vec b) { return _mm512_add_epi32(a, b); }
INLINE_V vec v_reverse(vec v) {
    return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
                                                                      14, 15)));
}
INLINE_V vec v_broadcast(const uint8_t *p) { return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p)); }
INLINE_V vec v_count(uint32_t n) { return _mm512_maskz_set1_epi32(0x1111, (int)n); }
INLINE_V vec v_lanes_from(uint32_t n) {
    return _mm512_add_epi32(v_count(n), _mm512_set_epi32(0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0));
}
INLINE_V vec v_aesenc(vec v, vec k) { return _mm512_aesenc_epi128(v, k); }
INLINE_V vec v_aesenclast(vec v, vec k) { return _mm512_aesenclast_epi128(v, k); }
#define v_clmul(a, b, imm) _mm512_clmulepi64_epi128(a, b, imm)
INLINE_V vec v_swap(vec v) { return _mm512_shuffle_epi32(v, (_MM_PERM_ENUM)0x4e); }
INLINE_V vec v_poly(void) { return _mm512_broadcast_i32x4(_mm_set_epi64x((long long)0xc200000000000000, 1)); }
INLINE_V vec v_low(__m128i x) { return _mm512_zextsi128_si512(x); }
INLINE_V vec v_at(__m128i x, size_t lane) { return _mm512_maskz_broadcast_i32x4((__mmask16)(0xf << 4 * lane), x); }
INLINE_V __m128i v_fold(vec v) {
    const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}
INLINE_V vec v_load_part(const uint8_t *p, size_t n) { return _mm512_maskz_loadu_epi8(first(n), p); }
INLINE_V void v_store_part(uint8_t *p, vec v, size_t n) { _mm512_mask_storeu_epi8(p, first(n), v); }
INLINE_V vec v_keep(vec v, size_t n) { return _mm512_maskz_mov_epi8(first(n), v); }

#include "tier.h"
#endif
