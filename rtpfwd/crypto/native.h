/* SRTP's arithmetic on x86-64 with the CPU's AES, carry-less multiplication and SHA-1 instructions.
 *
 * Two profiles: AES-128-GCM (RFC 7714) and AES-128-CM with HMAC-SHA1-80 (RFC 3711). Nothing here knows of sequence
 * numbers, replay or streams: the caller gives each packet its 48-bit index. No function allocates but
 * native_key_create; none branches or looks up memory by anything secret; none touches a byte outside what it is given.
 *
 * Which instructions are used is a tier, chosen when a key is made. On other CPUs every tier is missing.
 */
#ifndef RTPFWD_CRYPTO_NATIVE_H
#define RTPFWD_CRYPTO_NATIVE_H

#include <stddef.h>
#include <stdint.h>

/* As in rtpfwd.params.SrtpProfile. */
enum native_profile {
    NATIVE_CM_SHA1_80 = 1,
    NATIVE_GCM = 7
};

enum native_tier {
    NATIVE_NONE = 0,
    NATIVE_AESNI = 1,   /* AES-NI and PCLMULQDQ on 128 bits */
    NATIVE_VAES256 = 2, /* VAES and VPCLMULQDQ on 256 bits, AVX2 */
    NATIVE_VAES512 = 3  /* the same on 512 bits, AVX-512 F, BW, VL and DQ */
};

enum native_status {
    NATIVE_OK = 0,
    NATIVE_BAD_TAG = 1, /* the tag is not that of this packet under this key; nothing was written */
    NATIVE_SHORT = 2    /* no room for header and tag; nothing was written */
};

enum {
    NATIVE_GCM_TAG = 16, /* bytes */
    NATIVE_CM_TAG = 10,
    NATIVE_CONTROL_HEADER = 8, /* bytes of an RTCP packet that are not encrypted */
    NATIVE_CONTROL_WORD = 4    /* the E flag and the SRTCP index */
};

typedef struct native_key native_key;

/* One RTP packet to protect. */
typedef struct native_job {
    const native_key *key;
    const uint8_t *payload; /* clear; packet + header_size itself, or no byte in common with the packet */
    uint8_t *packet;        /* the clear header is here; room for the payload and the tag behind it */
    size_t header_size;     /* bytes, >= 12, a multiple of 4 */
    size_t payload_size;    /* bytes, less than 2**20 (RFC 3711 section 4.1.1 bounds the keystream) */
    uint32_t ssrc;
    uint64_t index; /* ROC << 16 | sequence number, 48 bits */
} native_job;

/* The best tier of this CPU for a profile. CM needs the SHA-1 instructions beside any AES tier. */
int native_best_tier(int profile);
/* Whether this CPU and system can run this tier for this profile. */
int native_has_tier(int profile, int tier);

/* Session keys of SRTP and SRTCP (RFC 3711 section 4.3, labels 0 to 5, key derivation rate 0; RFC 7714 section 11).
 * `master`: 16 bytes of key, then the salt: 14 bytes (CM) or 12 (GCM). NULL: no memory, or the CPU has no such tier. */
native_key *native_key_create(int profile, int tier, const uint8_t *master);
void native_key_free(native_key *key); /* wipes it; NULL does no harm */
int native_key_tier(const native_key *key);

/* Encrypt the payload of each job into its packet and append the tag. Any mixture of keys, profiles and sizes. */
void native_protect(const native_job *jobs, size_t count);

/* Check the received packet's tag, then decrypt into `out`, which has room for size - tag bytes and may be `packet`
 * itself; the header is copied. native_status. */
int native_unprotect(const native_key *key, const uint8_t *packet, size_t header_size, size_t size, uint32_t ssrc,
                     uint64_t index, uint8_t *out);

/* SRTCP (RFC 3711 section 3.4, RFC 7714 section 9), by the same 128-bit code in every tier.
 *
 * Encrypt a compound packet of `size` >= NATIVE_CONTROL_HEADER bytes in place under an index of 31 bits, and append tag
 * and index; the room behind it must take both. The new size in bytes. */
size_t native_protect_control(const native_key *key, uint8_t *packet, size_t size, uint32_t index);
/* Check a received packet's tag, then decrypt it in place; without tag and index it is that much shorter. With GCM a
 * packet whose E flag is not set is checked and left as it is; with CM the caller sees to it that the flag is set.
 * native_status. */
int native_unprotect_control(const native_key *key, uint8_t *packet, size_t size);

/* The parts on their own, for the vectors of the standards. */

/* AES-128-GCM (NIST SP 800-38D) with a 96-bit nonce: encrypt `size` bytes and write the tag of 16. -1: no such tier. */
int native_gcm_seal(int tier, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_size,
                    const uint8_t *in, size_t size, uint8_t *out, uint8_t *tag);
/* SRTCP with GCM under these session keys, 16 bytes and 12: native_protect_control, and native_unprotect_control's
 * status. -1: no AES instructions. */
int native_protect_control_with(const uint8_t *key, const uint8_t *salt, uint8_t *packet, size_t size, uint32_t index);
int native_unprotect_control_with(const uint8_t *key, const uint8_t *salt, uint8_t *packet, size_t size);
/* AES-128 in counter mode; the last 32 bits of the block count. -1: no such tier. */
int native_ctr(int tier, const uint8_t *key, const uint8_t *block, const uint8_t *in, size_t size, uint8_t *out);
/* HMAC-SHA1 (RFC 2202) under a key of at most 64 bytes; `digest` has room for 20. -1: no SHA-1 instructions. */
int native_hmac_sha1(const uint8_t *key, size_t key_size, const uint8_t *text, size_t size, uint8_t *digest);
/* The session key for one label (RFC 3711 section 4.3.3). `master` is 16 + 14 bytes. -1: no AES instructions. */
int native_derive(const uint8_t *master, int label, uint8_t *out, size_t size);

#endif
