# Endpoints to and from the kernel's socket addresses.

from rtpfwd.sys_linux cimport sockaddr_in6
from rtpfwd.tables cimport Endpoint

# What recvmmsg filled in; IPv4-mapped becomes IPv4. `name` may hold a sockaddr_in.
cdef void to_endpoint(const sockaddr_in6* name, Endpoint* out) noexcept nogil
# For a socket of AF_INET6 (`ipv6`) or AF_INET. Returns the length in bytes; 0 when such a socket can't send there.
cdef int to_name(const Endpoint* address, bint ipv6, sockaddr_in6* name) noexcept nogil
