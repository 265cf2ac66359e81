/* Which tiers this CPU has and this system allows. */
#include "internal.h"

#if defined(__x86_64__)
#include <cpuid.h>

enum { HAS_SHA = 1 << 8 };

static uint32_t saved_registers(void) {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* Bit t: tier t; and HAS_SHA. */
static int detect(void) {
    const uint32_t ymm = 0x06, zmm = 0xe6; /* XCR0: what the system saves on a task switch */
    uint32_t a, b, c, d, b7 = 0, c7 = 0, saved = 0;
    int found = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    const int pclmul = c >> 1 & 1, ssse3 = c >> 9 & 1, sse41 = c >> 19 & 1, aes = c >> 25 & 1, osxsave = c >> 27 & 1;
    __get_cpuid_count(7, 0, &a, &b7, &c7, &d); /* leaves zeros where there is no leaf 7 */
    if (osxsave)
        saved = saved_registers();
    if (!(aes && pclmul && ssse3 && sse41))
        return 0;
    found |= 1 << NATIVE_AESNI;
    if (b7 >> 29 & 1)
        found |= HAS_SHA;
    const int avx2 = (b7 >> 5 & 1) && (saved & ymm) == ymm;
    const int wide = (c7 >> 9 & 1) && (c7 >> 10 & 1); /* VAES, VPCLMULQDQ */
    if (avx2 && wide)
        found |= 1 << NATIVE_VAES256;
    /* AVX-512 F, DQ, BW, VL */
    const int avx512 = (b7 >> 16 & 1) && (b7 >> 17 & 1) && (b7 >> 30 & 1) && (b7 >> 31 & 1) && (saved & zmm) == zmm;
    if (avx2 && wide && avx512)
        found |= 1 << NATIVE_VAES512;
    return found;
}

int native_has_sha(void) { return (detect() & HAS_SHA) != 0; }

int native_has_tier(int profile, int tier) {
    const int found = detect();
    if (tier < NATIVE_AESNI || tier > NATIVE_VAES512 || !(found >> tier & 1))
        return 0;
    return profile == NATIVE_GCM || (profile == NATIVE_CM_SHA1_80 && (found & HAS_SHA));
}

const tier_kernels *native_tier_kernels(int tier) {
    switch (tier) {
    case NATIVE_AESNI:
        return &native_kernels_aesni;
    case NATIVE_VAES256:
        return &native_kernels_vaes256;
    case NATIVE_VAES512:
        return &native_kernels_vaes512;
    default:
        return NULL;
    }
}

#else

int native_has_tier(int profile, int tier) {
    (void)profile;
    (void)tier;
    return 0;
}

#endif

int native_best_tier(int profile) {
    for (int tier = NATIVE_VAES512; tier > NATIVE_NONE; tier--)
        if (native_has_tier(profile, tier))
            return tier;
    return NATIVE_NONE;
}
