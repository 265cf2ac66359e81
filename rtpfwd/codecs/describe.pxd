# The one switch over codecs.

from libc.stdint cimport uint8_t

from rtpfwd.codecs.dd cimport DdState
from rtpfwd.types cimport Codec, PacketView

# Sets what the payload of a parsed packet shows: everything that PacketView groups so. `codec` is a Codec.
cdef void describe(int codec, PacketView* view) noexcept nogil

# The same with what two header extensions say, by the ids under which the sender has them; 0: it does not.
# `descriptor`: what is kept of the encoding for its dependency descriptors, or NULL.
cdef void describe_packet(
    int codec, DdState* descriptor, uint8_t descriptor_id, uint8_t audio_level_id, PacketView* view) noexcept nogil
