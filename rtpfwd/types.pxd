# The words of the plane: structs and enums only, no module behind them. Names of the enums for people: rtpfwd.names.
#
# Time is int64 nanoseconds of the node's monotonic clock. An "extended" sequence number is an int64 that never wraps:
# RTP's 16 bits are its low bits (RFC 3550 appendix A.1).

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    MAX_EXTENSIONS = 32         # header extension elements of one packet; a packet with more is dropped
    MAX_MID = 16                # bytes of a MID or RID that we read; WebRTC's own limit is 16 (RFC 8843, RFC 8852)
    RTP_HEADER = 12             # bytes of the fixed RTP header
    MAX_SPATIAL = 8             # layers
    MAX_TEMPORAL = 8            # layers

cdef struct Layer:
    int8_t spatial              # 0 = lowest; -1 = the payload names none
    int8_t temporal             # 0 = lowest; -1 = the payload names none

cdef enum Codec:                # what describe() can read
    CODEC_OTHER = 0             # every packet counts as a keyframe: a viewer may join anywhere
    CODEC_OPUS = 1
    CODEC_VP8 = 2
    CODEC_VP9 = 3
    CODEC_H264 = 4
    CODEC_AV1 = 5
    CODEC_COUNT = 6

cdef enum ExtKind:              # header extensions that the plane knows; uris in rtpfwd.names
    EXT_OTHER = 0               # unknown uri: forwarded when the consumer numbers it
    EXT_MID = 1
    EXT_RID = 2
    EXT_RRID = 3
    EXT_ABS_SEND_TIME = 4
    EXT_TRANSPORT_CC = 5
    EXT_AUDIO_LEVEL = 6
    EXT_VIDEO_ORIENTATION = 7
    EXT_TOFFSET = 8
    EXT_ABS_CAPTURE_TIME = 9
    EXT_PLAYOUT_DELAY = 10
    EXT_DEPENDENCY_DESCRIPTOR = 11
    EXT_KIND_COUNT = 12

cdef struct ExtElement:         # one header extension element (RFC 8285), borrowed from the packet
    uint8_t id                  # as its sender numbers it: 1-14 one-byte form, 1-255 two-byte form
    uint8_t size                # bytes of data; 0 only in the two-byte form
    const uint8_t* data

cdef struct PacketView:         # one RTP packet, borrowed: valid only as long as the buffer it was parsed from
    # The bytes. Set by header.rtp_parse_untrusted.
    uint8_t* data               # first byte of the RTP header
    uint16_t size               # bytes, header to the last byte of padding
    uint8_t* payload            # after CSRCs and header extension
    uint16_t payload_size       # bytes, padding not counted; 0 = padding only
    uint8_t padding_size        # bytes of RTP padding with its count byte

    # The header's fields, as the producer sent them. Set by header.rtp_parse_untrusted.
    uint8_t payload_type        # 0-127
    bint marker                 # video: last packet of the frame
    uint16_t seq
    uint32_t timestamp          # RTP clock units
    uint32_t ssrc
    uint8_t csrc_count          # 0-15
    const uint8_t* csrc         # csrc_count times 4 bytes, big endian
    uint8_t extension_count     # elements below that are set
    ExtElement extensions[MAX_EXTENSIONS]

    # What the receive side found. Set by recv_stream_receive.
    int64_t arrived             # ns
    int64_t ext_seq             # extended sequence number; keeps growing over a source restart
    bint is_restart             # first packet after the source restarted its numbering
    bint is_recovered           # came through RTX (RFC 4588), so it is late by nature

    # What the payload shows. Set by codecs.describe, and by the dependency descriptor where the packet has one.
    Layer layer
    bint is_keyframe            # first packet of a frame that needs no other frame
    bint is_frame_start         # first packet of a frame, as far as the payload shows it
    bint is_frame_end           # last packet of the frame of its spatial layer; the marker where nothing finer is known
    bint is_switch_point        # a decoder of the lower layers may join this layer here
    bint needs_lower            # its frame references a lower spatial layer of the same picture
    bint has_descriptor         # layer and flags come from a dependency descriptor that could be read
    int32_t picture_id          # VP8, VP9; -1 = none
    uint8_t picture_id_bits     # 7 or 15
    uint16_t picture_id_at      # offset of its first byte in the payload
    int32_t tl0_index           # TL0PICIDX of VP8 and VP9, 8 bits; -1 = none
    uint16_t tl0_index_at       # offset of it in the payload
    int32_t frame_number        # of the dependency descriptor, 16 bits; -1 = none
    uint64_t active_targets     # decode targets the descriptor says are produced now, bits; 0 = not said
    int16_t audio_level         # -dBov, 0 = loudest to 127 = silence (RFC 6464); -1 = not said
    bint voice                  # RFC 6464's V bit

    # Whose it is. Set by the plane.
    uint8_t encoding            # index into ProducerParams.encodings

cdef enum Verdict:              # a selector's answer for one packet and one consumer
    DROP = 0                    # the rewriter closes the gap
    FORWARD = 1
    SWITCH = 2                  # forward, and resynchronise sequence number and timestamp here
    FORWARD_MARKED = 3          # FORWARD with the marker set: what follows in this picture is left out
    SWITCH_MARKED = 4           # the same of SWITCH

cdef enum DropReason:           # why a datagram, or a packet for one consumer, went no further; 0 = it did not
    DROP_NONE = 0
    # A datagram.
    DROP_EMPTY = 1              # no bytes
    DROP_TRUNCATED = 2          # larger than the receive buffer; the kernel cut it
    DROP_UNKNOWN_PROTOCOL = 3   # first byte belongs to no protocol of RFC 7983 that we speak
    DROP_UNKNOWN_SOURCE = 4     # its source is admitted to no transport
    DROP_HANDOFF_FULL = 5       # STUN or DTLS faster than Python takes it
    # SRTP.
    DROP_NO_KEYS = 6            # before DTLS was done
    DROP_SRTP_AUTH = 7          # authentication failed
    DROP_SRTP_REPLAY = 8        # seen before, or too old to tell
    DROP_SRTP_OTHER = 9         # too short, bad MKI, …
    # The RTP header.
    DROP_RTP_SHORT = 10         # ends before its header does
    DROP_RTP_VERSION = 11
    DROP_RTP_EXTENSION = 12     # an element passes the end of the extension, or there are too many
    DROP_RTP_PADDING = 13       # padding count of zero or larger than the payload
    # Whose packet it is.
    DROP_UNKNOWN_SSRC = 14      # no producer has this SSRC, MID or RID
    DROP_UNKNOWN_PAYLOAD_TYPE = 15
    DROP_PRODUCER_PAUSED = 16
    DROP_RTX_EMPTY = 17         # a retransmission packet without payload: a bandwidth probe
    DROP_RTX_SHORT = 18         # no room for the original sequence number
    # The received stream.
    DROP_DUPLICATE = 19
    DROP_STALE = 20             # too far behind the newest packet
    DROP_SEQUENCE_JUMP = 21     # first packet after a jump; the next one in order confirms a restart
    # One consumer. These count packets for consumers, not datagrams.
    DROP_SELECTOR = 22          # the selector said DROP
    DROP_BEFORE_SWITCH = 23     # reordered behind the packet at which the consumer switched
    DROP_NO_ROOM = 24           # header and payload do not fit into the output slot
    DROP_NO_REMOTE = 25         # the transport has nowhere to send yet
    DROP_TRANSMIT_FULL = 26     # output faster than it is taken
    # RTCP.
    DROP_RTCP_SHORT = 27        # ends before its header, or before what its header announces
    DROP_RTCP_VERSION = 28
    DROP_RTCP_PADDING = 29      # not on the last packet, or longer than it
    DROP_RTCP_MALFORMED = 30    # a packet too small for the blocks it counts
    # Output.
    DROP_SRTP_PROTECT = 31      # protection refused: limit reached, or no keys
    DROP_OTHER = 32
    # Between planes. The first counts packets for one other plane, the second datagrams.
    DROP_LINK_FULL = 33         # that plane takes them slower than they come
    DROP_NO_BUFFER = 34         # every buffer is in use: other planes have not taken what was received earlier
    # Pacing, packets for one consumer.
    DROP_PACER_FULL = 35        # more waits than the path takes in half a second; the consumer joins again at a keyframe
    DROP_PACER_SLOT = 36        # no memory to wait in, or too large for it
    DROP_REASON_COUNT = 37
