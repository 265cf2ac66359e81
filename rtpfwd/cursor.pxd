# Checked big-endian reading and writing. A read past the end gives 0 and sets `failed`; a write past the end writes
# nothing and sets `failed`. So a parser may read a group of fields and check once.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef struct Reader:
    const uint8_t* at           # next byte
    const uint8_t* end          # first byte that is not ours
    bint failed                 # something was read past the end

cdef struct Writer:
    uint8_t* start
    uint8_t* at                 # next byte to write
    uint8_t* end                # first byte that is not ours
    bint failed                 # something did not fit

# Unchecked: the caller knows the bytes are there.

cdef inline uint16_t load_u16(const uint8_t* at) noexcept nogil:
    return <uint16_t>((at[0] << 8) | at[1])

cdef inline uint32_t load_u24(const uint8_t* at) noexcept nogil:
    return (<uint32_t>at[0] << 16) | (<uint32_t>at[1] << 8) | at[2]

cdef inline uint32_t load_u32(const uint8_t* at) noexcept nogil:
    return (<uint32_t>at[0] << 24) | (<uint32_t>at[1] << 16) | (<uint32_t>at[2] << 8) | at[3]

cdef inline void store_u16(uint8_t* at, uint16_t value) noexcept nogil:
    at[0] = <uint8_t>(value >> 8)
    at[1] = <uint8_t>value

cdef inline void store_u24(uint8_t* at, uint32_t value) noexcept nogil:
    at[0] = <uint8_t>(value >> 16)
    at[1] = <uint8_t>(value >> 8)
    at[2] = <uint8_t>value

cdef inline void store_u32(uint8_t* at, uint32_t value) noexcept nogil:
    at[0] = <uint8_t>(value >> 24)
    at[1] = <uint8_t>(value >> 16)
    at[2] = <uint8_t>(value >> 8)
    at[3] = <uint8_t>value

# Checked reading.

cdef inline void reader_init(Reader* r, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    r.at = data
    r.end = data + (size if size > 0 else 0)
    r.failed = False

cdef inline Py_ssize_t reader_left(const Reader* r) noexcept nogil:
    return r.end - r.at

cdef inline const uint8_t* read_bytes(Reader* r, Py_ssize_t size) noexcept nogil:
    # The next `size` bytes, or NULL.
    cdef const uint8_t* found = r.at
    if size < 0 or size > r.end - r.at:
        r.failed = True
        r.at = r.end
        return NULL
    r.at += size
    return found

cdef inline uint8_t read_u8(Reader* r) noexcept nogil:
    cdef const uint8_t* found = read_bytes(r, 1)
    return found[0] if found != NULL else 0

cdef inline uint16_t read_u16(Reader* r) noexcept nogil:
    cdef const uint8_t* found = read_bytes(r, 2)
    return load_u16(found) if found != NULL else 0

cdef inline int read_u7_or_u15(Reader* r) noexcept nogil:
    # One byte, or two when its first bit is set: picture ids of VP8 and VP9.
    cdef uint8_t first = read_u8(r)
    return ((first & 0x7F) << 8) | read_u8(r) if first & 0x80 else first

cdef inline uint32_t read_u24(Reader* r) noexcept nogil:
    cdef const uint8_t* found = read_bytes(r, 3)
    return load_u24(found) if found != NULL else 0

cdef inline uint32_t read_u32(Reader* r) noexcept nogil:
    cdef const uint8_t* found = read_bytes(r, 4)
    return load_u32(found) if found != NULL else 0

cdef inline uint64_t read_u64(Reader* r) noexcept nogil:
    cdef const uint8_t* found = read_bytes(r, 8)
    return ((<uint64_t>load_u32(found) << 32) | load_u32(found + 4)) if found != NULL else 0

# Checked writing.

cdef inline void writer_init(Writer* w, uint8_t* data, Py_ssize_t capacity) noexcept nogil:
    w.start = data
    w.at = data
    w.end = data + (capacity if capacity > 0 else 0)
    w.failed = False

cdef inline Py_ssize_t writer_size(const Writer* w) noexcept nogil:
    # Bytes written so far.
    return w.at - w.start

cdef inline uint8_t* write_room(Writer* w, Py_ssize_t size) noexcept nogil:
    # Moves past `size` bytes for the caller to fill, or gives NULL.
    cdef uint8_t* found = w.at
    if size < 0 or size > w.end - w.at:
        w.failed = True
        return NULL
    w.at += size
    return found

cdef inline void write_u8(Writer* w, uint8_t value) noexcept nogil:
    cdef uint8_t* room = write_room(w, 1)
    if room != NULL:
        room[0] = value

cdef inline void write_u16(Writer* w, uint16_t value) noexcept nogil:
    cdef uint8_t* room = write_room(w, 2)
    if room != NULL:
        store_u16(room, value)

cdef inline void write_u24(Writer* w, uint32_t value) noexcept nogil:
    cdef uint8_t* room = write_room(w, 3)
    if room != NULL:
        store_u24(room, value)

cdef inline void write_u32(Writer* w, uint32_t value) noexcept nogil:
    cdef uint8_t* room = write_room(w, 4)
    if room != NULL:
        store_u32(room, value)

cdef inline void write_u64(Writer* w, uint64_t value) noexcept nogil:
    cdef uint8_t* room = write_room(w, 8)
    if room != NULL:
        store_u32(room, <uint32_t>(value >> 32))
        store_u32(room + 4, <uint32_t>value)

cdef inline void write_bytes(Writer* w, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cdef uint8_t* room = write_room(w, size)
    if room != NULL and size > 0:
        memcpy(room, data, size)
