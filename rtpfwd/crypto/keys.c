/* Session keys: derivation, AES's key schedule, GHASH's powers, HMAC's states, and wiping them. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

void native_wipe(void *data, size_t size) {
    memset(data, 0, size);
    __asm__ __volatile__("" : : "r"(data) : "memory"); /* someone may look at it, as far as the compiler knows */
}

#if defined(__x86_64__)

#define AES __attribute__((target("sse4.1,ssse3,aes,pclmul")))

/* RFC 3711 section 4.3.2; SRTCP's labels are those of SRTP and three. */
enum { LABEL_CIPHER = 0, LABEL_AUTH = 1, LABEL_SALT = 2, LABELS_CONTROL = 3, SALT_AT = 16, AUTH_KEY = 20 };

AES static inline __m128i next_round_key(__m128i key, __m128i assist) {
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
    return _mm_xor_si128(key, _mm_shuffle_epi32(assist, 0xff));
}

/* AES-128's key schedule (FIPS 197 section 5.2). */
AES void native_set_aes_key(uint8_t (*round_keys)[16], const uint8_t *aes_key) {
    __m128i k = _mm_loadu_si128((const __m128i *)aes_key);
    __m128i *out = (__m128i *)round_keys;
    out[0] = k;
#define NEXT(i, rcon) out[i] = k = next_round_key(k, _mm_aeskeygenassist_si128(k, rcon))
    NEXT(1, 0x01);
    NEXT(2, 0x02);
    NEXT(3, 0x04);
    NEXT(4, 0x08);
    NEXT(5, 0x10);
    NEXT(6, 0x20);
    NEXT(7, 0x40);
    NEXT(8, 0x80);
    NEXT(9, 0x1b);
    NEXT(10, 0x36);
#undef NEXT
}

AES static __m128i encrypt_block(const uint8_t (*round_keys)[16], __m128i block) {
    const __m128i *k = (const __m128i *)round_keys;
    block = _mm_xor_si128(block, k[0]);
    for (int i = 1; i < AES_ROUNDS; i++)
        block = _mm_aesenc_si128(block, k[i]);
    return _mm_aesenclast_si128(block, k[AES_ROUNDS]);
}

/* a * b / x in GCM's field, bit-reflected; with operands multiplied by x, the product is so too. */
AES static __m128i multiply(__m128i a, __m128i b) {
    const __m128i poly = _mm_set_epi64x((long long)0xc200000000000000, 1);
    __m128i low = _mm_clmulepi64_si128(a, b, 0x00), high = _mm_clmulepi64_si128(a, b, 0x11);
    __m128i middle = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10));
    middle = _mm_xor_si128(middle, _mm_shuffle_epi32(low, 0x4e));
    middle = _mm_xor_si128(middle, _mm_clmulepi64_si128(low, poly, 0x10));
    high = _mm_xor_si128(high, _mm_shuffle_epi32(middle, 0x4e));
    return _mm_xor_si128(high, _mm_clmulepi64_si128(middle, poly, 0x10));
}

/* H**count ... H**1, each multiplied by x. */
AES static void set_powers(const uint8_t (*round_keys)[16], uint8_t (*powers)[16], int count) {
    const __m128i reverse = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m128i h = _mm_shuffle_epi8(encrypt_block(round_keys, _mm_setzero_si128()), reverse);
    /* Times x: shift left by one bit, and fold the bit that falls out without looking at it. */
    const __m128i signs = _mm_srai_epi32(_mm_shuffle_epi32(h, 0xd3), 31); /* of bits 127 and 63, where they go */
    const __m128i fold = _mm_set_epi64x((long long)0xc200000000000001, 1); /* the polynomial, and bit 63's carry */
    h = _mm_xor_si128(_mm_add_epi64(h, h), _mm_and_si128(signs, fold));
    __m128i power = h;
    for (int i = count - 1; i >= 0; i--) {
        _mm_store_si128((__m128i *)powers[i], power);
        power = multiply(power, h);
    }
}

void native_set_gcm_tables(native_key *key) {
    memset(&key->mac.gcm, 0, sizeof key->mac.gcm);
    set_powers((const uint8_t(*)[16])key->round_keys, key->mac.gcm.powers, POWERS);
}

void native_set_control_powers(control_key *key) {
    set_powers((const uint8_t(*)[16])key->round_keys, key->mac.powers, CONTROL_POWERS);
}

/* RFC 3711 section 4.3.3 with the master key's round keys: AES in counter mode over the salt with the label in it. */
AES static void derive(const uint8_t (*round_keys)[16], const uint8_t *salt, int label, uint8_t *out, size_t size) {
    uint8_t block[16] = {0};
    memcpy(block, salt, 14);
    block[7] ^= (uint8_t)label;
    for (size_t done = 0; done < size; done += 16) {
        uint8_t stream[16];
        block[15] = (uint8_t)(done / 16);
        _mm_storeu_si128((__m128i *)stream, encrypt_block(round_keys, _mm_loadu_si128((const __m128i *)block)));
        memcpy(out + done, stream, size - done < 16 ? size - done : 16);
        native_wipe(stream, sizeof stream);
    }
}

int native_derive(const uint8_t *master, int label, uint8_t *out, size_t size) {
    _Alignas(16) uint8_t round_keys[AES_ROUNDS + 1][16];
    if (!native_has_tier(NATIVE_GCM, NATIVE_AESNI))
        return -1;
    native_set_aes_key(round_keys, master);
    derive((const uint8_t(*)[16])round_keys, master + SALT_AT, label, out, size);
    native_wipe(round_keys, sizeof round_keys);
    return 0;
}

/* The keys of SRTP or, with `labels` LABELS_CONTROL, of SRTCP. `cm` is left alone with GCM. */
static void derive_set(int gcm, const uint8_t (*master)[16], const uint8_t *master_salt, int labels,
                       uint8_t (*round_keys)[16], uint8_t *salt, cm_states *cm) {
    uint8_t cipher[16], auth[AUTH_KEY];
    derive(master, master_salt, labels + LABEL_CIPHER, cipher, sizeof cipher);
    derive(master, master_salt, labels + LABEL_SALT, salt, gcm ? 12 : 14);
    native_set_aes_key(round_keys, cipher);
    if (!gcm) {
        derive(master, master_salt, labels + LABEL_AUTH, auth, sizeof auth);
        native_hmac_states(cm, auth, sizeof auth);
        native_wipe(auth, sizeof auth);
    }
    native_wipe(cipher, sizeof cipher);
}

static void set_session_keys(native_key *key, const uint8_t *master) {
    const int gcm = key->profile == NATIVE_GCM;
    uint8_t salt[14] = {0};
    _Alignas(16) uint8_t round_keys[AES_ROUNDS + 1][16];
    const uint8_t(*from)[16] = (const uint8_t(*)[16])round_keys;
    memcpy(salt, master + SALT_AT, gcm ? 12 : 14);
    native_set_aes_key(round_keys, master);
    derive_set(gcm, from, salt, 0, key->round_keys, key->salt, &key->mac.cm);
    derive_set(gcm, from, salt, LABELS_CONTROL, key->control.round_keys, key->control.salt, &key->control.mac.cm);
    if (gcm) {
        native_set_gcm_tables(key);
        native_set_control_powers(&key->control);
    }
    native_wipe(round_keys, sizeof round_keys);
    native_wipe(salt, sizeof salt);
}

native_key *native_key_create(int profile, int tier, const uint8_t *master) {
    native_key *key;
    if (!native_has_tier(profile, tier))
        return NULL;
    key = aligned_alloc(64, sizeof *key); /* the size is a multiple of the alignment, as that of every type */
    if (key == NULL)
        return NULL;
    memset(key, 0, sizeof *key);
    key->profile = profile;
    key->tier = tier;
    key->kernels = native_tier_kernels(tier);
    set_session_keys(key, master);
    return key;
}

void native_key_free(native_key *key) {
    if (key != NULL) {
        native_wipe(key, sizeof *key);
        free(key);
    }
}

int native_key_tier(const native_key *key) { return key->tier; }

#endif
