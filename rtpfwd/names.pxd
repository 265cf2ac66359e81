# Names of the enums in types.pxd, for counters, tables and messages.

cdef const char* drop_reason_name(int reason) noexcept nogil        # "rtp_short"; "other" for what is no reason
cpdef int extension_kind(str uri) except -1                         # an ExtKind; EXT_OTHER for an unknown uri
cpdef int codec_of(str mime_type) except -1                         # a Codec; "video/vp8", any case
