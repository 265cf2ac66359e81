/* AES-CTR and GCM over a vector type that the including file defines; one copy of the algorithm for every tier.
 *
 * The file that includes this defines, with L the 128-bit lanes of a vector:
 *   TIER                 attributes of every function
 *   KERNELS              the name of the tier_kernels to define
 *   LANES, GROUP         L; vectors in a group, whose AES rounds run side by side
 *   vec                  the vector type
 *   v_zero(), v_load(p), v_store(p, v), v_xor(a, b), v_xor3(a, b, c), v_add32(a, b), v_reverse(v) (bytes of each lane)
 *   v_broadcast(p)       16 bytes into every lane
 *   v_lanes_from(n)      the 32-bit number n, n + 1, ... in the lowest word of each lane, else zero
 *   v_count(n)           n in the lowest word of each lane
 *   v_aesenc(v, k), v_aesenclast(v, k)
 *   v_clmul(a, b, imm)   of each lane
 *   v_swap(v)            the halves of each lane
 *   v_poly()             0xc2 << 120 | 1 in each lane
 *   v_low(x)             the __m128i x in lane 0, zeros above
 *   v_at(x, lane)        the __m128i x in that lane, zeros in the others
 *   v_fold(v)            the xor of all lanes, a __m128i
 *   v_load_part(p, n), v_store_part(p, v, n), v_keep(v, n)   the first n bytes, 0 < n < 16 L; zeros behind
 *
 * GHASH (SP 800-38D section 6.4) is in bit-reflected order with powers of H multiplied by x, so that products need no
 * shift; a group's products are summed before one reduction. A tail's last products take the block of lengths along.
 */

enum { VEC = 16 * LANES, GROUP_BYTES = VEC * GROUP, GROUP_BLOCKS = LANES * GROUP };

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#define INLINE TIER static inline __attribute__((always_inline))

typedef struct sums {
    vec low, middle, high;
} sums;

INLINE void add_product(sums *s, vec data, const uint8_t *powers) {
    const vec h = v_load(powers);
    s->low = v_xor(s->low, v_clmul(data, h, 0x00));
    s->high = v_xor(s->high, v_clmul(data, h, 0x11));
    s->middle = v_xor3(s->middle, v_clmul(data, h, 0x01), v_clmul(data, h, 0x10));
}

INLINE sums no_sums(void) {
    const sums s = {v_zero(), v_zero(), v_zero()};
    return s;
}

/* All products of a group, modulo GCM's polynomial, in one lane. */
INLINE __m128i reduced(const sums *s) {
    const vec poly = v_poly();
    const vec middle = v_xor3(s->middle, v_swap(s->low), v_clmul(s->low, poly, 0x10));
    return v_fold(v_xor3(s->high, v_swap(middle), v_clmul(middle, poly, 0x10)));
}

/* The last counter word of a block is big-endian: count in reversed blocks. */
typedef struct counter {
    vec next; /* the next LANES blocks, reversed */
} counter;

INLINE counter counter_from(const uint8_t *block, uint32_t offset) {
    const counter c = {v_add32(v_reverse(v_broadcast(block)), v_lanes_from(offset))};
    return c;
}

INLINE vec next_block(counter *c) {
    const vec block = v_reverse(c->next);
    c->next = v_add32(c->next, v_count(LANES));
    return block;
}

#define ROUND_KEY(i) v_broadcast(key->round_keys[i])

INLINE vec one_stream(const native_key *key, counter *c) {
    vec block = v_xor(next_block(c), ROUND_KEY(0));
    UNROLL
    for (int i = 1; i < AES_ROUNDS; i++)
        block = v_aesenc(block, ROUND_KEY(i));
    return v_aesenclast(block, ROUND_KEY(AES_ROUNDS));
}

/* Encrypt one group, and at the same time sum the products of `hashed`, the group before (reversed; NULL: none). */
INLINE void group(const native_key *key, counter *c, const uint8_t *in, uint8_t *out, vec *hashed, sums *s) {
    const uint8_t *powers = key->mac.gcm.powers[POWERS - GROUP_BLOCKS];
    vec block[GROUP];
    UNROLL
    for (int v = 0; v < GROUP; v++)
        block[v] = v_xor(next_block(c), ROUND_KEY(0));
    UNROLL
    for (int i = 1; i < AES_ROUNDS; i++) {
        const vec k = ROUND_KEY(i);
        UNROLL
        for (int v = 0; v < GROUP; v++)
            block[v] = v_aesenc(block[v], k);
        if (hashed != NULL && i <= GROUP)
            add_product(s, hashed[i - 1], powers + VEC * (i - 1));
    }
    UNROLL
    for (int v = 0; v < GROUP; v++) {
        block[v] = v_xor(v_load(in + VEC * v), v_aesenclast(block[v], ROUND_KEY(AES_ROUNDS)));
        v_store(out + VEC * v, block[v]);
        if (hashed != NULL)
            hashed[v] = v_reverse(block[v]);
    }
}

TIER static void ctr(const native_key *key, const uint8_t *block, const uint8_t *in, size_t size, uint8_t *out) {
    counter c = counter_from(block, 0);
    for (; size >= GROUP_BYTES; size -= GROUP_BYTES, in += GROUP_BYTES, out += GROUP_BYTES)
        group(key, &c, in, out, NULL, NULL);
    for (; size >= VEC; size -= VEC, in += VEC, out += VEC)
        v_store(out, v_xor(v_load(in), one_stream(key, &c)));
    if (size)
        v_store_part(out, v_xor(v_load_part(in, size), one_stream(key, &c)), size);
}

/* The products of additional data are summed 128 bits at a time: a header is one to three blocks. */
TIER static __m128i hash_aad(const native_key *key, const uint8_t *aad, size_t size) {
    const __m128i reverse = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i poly = _mm_set_epi64x((long long)0xc200000000000000, 1);
    __m128i hash = _mm_setzero_si128();
    while (size) {
        const size_t bytes = size < 16 * POWERS ? size : 16 * POWERS, blocks = (bytes + 15) / 16;
        __m128i low = _mm_setzero_si128(), middle = low, high = low;
        for (size_t i = 0; i < blocks; i++) {
            const __m128i h = _mm_load_si128((const __m128i *)key->mac.gcm.powers[POWERS - blocks + i]);
            __m128i data;
            if (bytes - 16 * i >= 16) {
                data = _mm_loadu_si128((const __m128i *)(aad + 16 * i));
            } else {
                _Alignas(16) uint8_t last[16] = {0};
                memcpy(last, aad + 16 * i, bytes - 16 * i);
                data = _mm_load_si128((const __m128i *)last);
            }
            data = _mm_shuffle_epi8(data, reverse);
            if (i == 0)
                data = _mm_xor_si128(data, hash);
            low = _mm_xor_si128(low, _mm_clmulepi64_si128(data, h, 0x00));
            high = _mm_xor_si128(high, _mm_clmulepi64_si128(data, h, 0x11));
            middle = _mm_xor_si128(middle, _mm_clmulepi64_si128(data, h, 0x01));
            middle = _mm_xor_si128(middle, _mm_clmulepi64_si128(data, h, 0x10));
        }
        middle = _mm_xor_si128(middle, _mm_shuffle_epi32(low, 0x4e));
        middle = _mm_xor_si128(middle, _mm_clmulepi64_si128(low, poly, 0x10));
        hash = _mm_xor_si128(high, _mm_shuffle_epi32(middle, 0x4e));
        hash = _mm_xor_si128(hash, _mm_clmulepi64_si128(middle, poly, 0x10));
        aad += bytes;
        size -= bytes;
    }
    return hash;
}

TIER static __m128i first_stream(const native_key *key, const uint8_t *block) {
    const __m128i *k = (const __m128i *)key->round_keys;
    __m128i x = _mm_xor_si128(_mm_load_si128((const __m128i *)block), k[0]);
    for (int i = 1; i < AES_ROUNDS; i++)
        x = _mm_aesenc_si128(x, k[i]);
    return _mm_aesenclast_si128(x, k[AES_ROUNDS]);
}

/* Encrypt (or, with `sealing` zero, only hash) what is left behind the groups, and hash the block of lengths. */
INLINE __m128i tail(const native_key *key, counter *c, const uint8_t *in, size_t size, uint8_t *out, __m128i hash,
                    __m128i lengths, const int sealing) {
    const size_t blocks = (size + 15) / 16;
    const uint8_t *powers = key->mac.gcm.powers[POWERS - 1 - blocks];
    vec carried = v_low(hash), data;
    sums s = no_sums();
    for (; size >= VEC; size -= VEC, in += VEC, out += VEC, powers += VEC) {
        data = v_load(in);
        if (sealing) {
            data = v_xor(data, one_stream(key, c));
            v_store(out, data);
        }
        add_product(&s, v_xor(v_reverse(data), carried), powers);
        carried = v_zero();
    }
    data = v_zero();
    if (size) {
        data = v_load_part(in, size);
        if (sealing) {
            data = v_xor(data, one_stream(key, c));
            v_store_part(out, data, size);
            data = v_keep(data, size);
        }
    }
    data = v_xor(v_reverse(data), carried);
    const size_t lane = (size + 15) / 16;
    if (lane < LANES) {
        add_product(&s, v_xor(data, v_at(lengths, lane)), powers);
    } else {
        add_product(&s, data, powers);
        add_product(&s, v_low(lengths), powers + VEC);
    }
    return reduced(&s);
}

INLINE void gcm(const native_key *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_size, const uint8_t *in,
                size_t size, uint8_t *out, uint8_t *tag, const int sealing) {
    const __m128i reverse = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i lengths = _mm_set_epi64x((long long)(aad_size * 8), (long long)(size * 8));
    const uint8_t *powers = key->mac.gcm.powers[POWERS - GROUP_BLOCKS];
    _Alignas(16) uint8_t block[16] = {0};
    memcpy(block, nonce, 12);
    block[15] = 1;
    const __m128i mask = first_stream(key, block);
    counter c = counter_from(block, 1);
    __m128i hash = hash_aad(key, aad, aad_size);
    vec hashed[GROUP];
    if (sealing && size >= GROUP_BYTES) {
        group(key, &c, in, out, NULL, NULL);
        UNROLL
        for (int v = 0; v < GROUP; v++)
            hashed[v] = v_reverse(v_load(out + VEC * v));
        for (in += GROUP_BYTES, out += GROUP_BYTES, size -= GROUP_BYTES; size >= GROUP_BYTES;
             in += GROUP_BYTES, out += GROUP_BYTES, size -= GROUP_BYTES) {
            sums s = no_sums();
            hashed[0] = v_xor(hashed[0], v_low(hash));
            group(key, &c, in, out, hashed, &s);
            hash = reduced(&s);
        }
        sums s = no_sums();
        hashed[0] = v_xor(hashed[0], v_low(hash));
        UNROLL
        for (int v = 0; v < GROUP; v++)
            add_product(&s, hashed[v], powers + VEC * v);
        hash = reduced(&s);
    }
    if (!sealing) {
        for (; size >= GROUP_BYTES; in += GROUP_BYTES, size -= GROUP_BYTES) {
            sums s = no_sums();
            UNROLL
            for (int v = 0; v < GROUP; v++) {
                const vec data = v_reverse(v_load(in + VEC * v));
                add_product(&s, v ? data : v_xor(data, v_low(hash)), powers + VEC * v);
            }
            hash = reduced(&s);
        }
    }
    hash = tail(key, &c, in, size, out, hash, lengths, sealing);
    _mm_storeu_si128((__m128i *)tag, _mm_xor_si128(_mm_shuffle_epi8(hash, reverse), mask));
}

TIER static void seal(const native_key *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_size,
                      const uint8_t *in, size_t size, uint8_t *out, uint8_t *tag) {
    gcm(key, nonce, aad, aad_size, in, size, out, tag, 1);
}

TIER static void tag_of(const native_key *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_size,
                        const uint8_t *in, size_t size, uint8_t *tag) {
    gcm(key, nonce, aad, aad_size, in, size, NULL, tag, 0);
}

const tier_kernels KERNELS = {ctr, seal, tag_of};
