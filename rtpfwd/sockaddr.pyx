"""Endpoints to and from the kernel's socket addresses. IPv4-mapped IPv6 exists only on the kernel's side."""

from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from rtpfwd.sys_linux cimport AF_INET, AF_INET6, htons, ntohs, sockaddr_in


cdef void to_endpoint(const sockaddr_in6* name, Endpoint* out) noexcept nogil:
    """The kernel's address as an Endpoint; IPv4-mapped becomes IPv4."""
    cdef const uint8_t* ip = <const uint8_t*>&name.sin6_addr
    cdef int index
    cdef bint mapped
    memset(out, 0, sizeof(Endpoint))
    if name.sin6_family == AF_INET:
        out.family = 4
        out.port = ntohs((<const sockaddr_in*>name).sin_port)
        memcpy(out.ip, &(<const sockaddr_in*>name).sin_addr, 4)
        return
    out.port = ntohs(name.sin6_port)
    mapped = ip[10] == 0xff and ip[11] == 0xff
    for index in range(10):
        mapped = mapped and ip[index] == 0
    if mapped:
        out.family = 4
        memcpy(out.ip, ip + 12, 4)
    else:
        out.family = 6
        memcpy(out.ip, ip, 16)


cdef int to_name(const Endpoint* address, bint ipv6, sockaddr_in6* name) noexcept nogil:
    """The length of the kernel's form of an address; 0 when this socket can't send there."""
    cdef sockaddr_in* v4 = <sockaddr_in*>name
    cdef uint8_t* ip = <uint8_t*>&name.sin6_addr
    memset(name, 0, sizeof(sockaddr_in6))
    if not ipv6:
        if address.family != 4:
            return 0
        v4.sin_family = <unsigned short>AF_INET
        v4.sin_port = htons(address.port)
        memcpy(&v4.sin_addr, address.ip, 4)
        return sizeof(sockaddr_in)
    name.sin6_family = <unsigned short>AF_INET6
    name.sin6_port = htons(address.port)
    if address.family == 4:
        ip[10] = 0xff
        ip[11] = 0xff
        memcpy(ip + 12, address.ip, 4)
    else:
        memcpy(ip, address.ip, 16)
    return sizeof(sockaddr_in6)
