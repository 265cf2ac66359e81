# The Linux system interface that the lane and the plane's mutex need. Declarations only; POSIX and linux/udp.h.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t*, void*)
    int pthread_mutex_destroy(pthread_mutex_t*)
    int pthread_mutex_lock(pthread_mutex_t*)
    int pthread_mutex_unlock(pthread_mutex_t*)
    ctypedef unsigned long pthread_t
    pthread_t pthread_self()

cdef extern from * nogil:
    # The GNU part of pthread.h and sched.h, which a file sees only with _GNU_SOURCE; Python's own header sets it.
    int pthread_setname_np(pthread_t, const char*)
    int pthread_getname_np(pthread_t, char*, size_t)

cdef extern from "<sched.h>" nogil:
    ctypedef struct cpu_set_t:
        pass
    int CPU_SETSIZE
    void CPU_ZERO(cpu_set_t*)
    void CPU_SET(int, cpu_set_t*)
    int sched_getaffinity(int, size_t, cpu_set_t*)
    int sched_setaffinity(int, size_t, const cpu_set_t*)

cdef extern from "<sys/prctl.h>" nogil:
    int PR_GET_TIMERSLACK, PR_SET_TIMERSLACK
    int prctl(int, ...)

cdef extern from "<sys/socket.h>" nogil:
    int AF_INET, AF_INET6, SOCK_DGRAM, SOL_SOCKET, SO_TYPE, MSG_DONTWAIT, MSG_TRUNC, MSG_NOSIGNAL
    ctypedef unsigned int socklen_t
    cdef struct sockaddr:
        unsigned short sa_family
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    cdef struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    cdef struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    cmsghdr* CMSG_FIRSTHDR(msghdr*)
    cmsghdr* CMSG_NXTHDR(msghdr*, cmsghdr*)
    size_t CMSG_LEN(size_t)
    size_t CMSG_SPACE(size_t)
    unsigned char* CMSG_DATA(cmsghdr*)
    int recvmmsg(int, mmsghdr*, unsigned int, int, void*)
    int sendmmsg(int, mmsghdr*, unsigned int, int)
    ssize_t sendto(int, const void*, size_t, int, const sockaddr*, socklen_t)
    int socket(int, int, int)
    int bind(int, const sockaddr*, socklen_t)
    int setsockopt(int, int, int, const void*, socklen_t)
    int getsockname(int, sockaddr*, socklen_t*)
    int getsockopt(int, int, int, void*, socklen_t*)

cdef extern from "<netinet/in.h>" nogil:
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct in6_addr:
        uint8_t s6_addr[16]
    cdef struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    uint32_t INADDR_LOOPBACK
    uint32_t htonl(uint32_t)
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)

cdef extern from "<netinet/udp.h>" nogil:
    int SOL_UDP

cdef extern from *:
    """
    #ifndef UDP_SEGMENT
    #define UDP_SEGMENT 103
    #endif
    #ifndef UDP_GRO
    #define UDP_GRO 104
    #endif
    """
    int UDP_SEGMENT, UDP_GRO

cdef extern from "<sys/epoll.h>" nogil:
    int EPOLLIN, EPOLLOUT, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLL_CLOEXEC
    ctypedef union epoll_data_t:
        uint32_t u32
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int)
    int epoll_ctl(int, int, int, epoll_event*)
    int epoll_wait(int, epoll_event*, int, int)

cdef extern from "<sys/eventfd.h>" nogil:
    int EFD_NONBLOCK, EFD_CLOEXEC
    int eventfd(unsigned int, int)

cdef extern from "<time.h>" nogil:
    int CLOCK_MONOTONIC
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec*)
    int nanosleep(const timespec*, timespec*)

cdef extern from "<arpa/inet.h>" nogil:
    int inet_pton(int, const char*, void*)
    const char* inet_ntop(int, const void*, char*, socklen_t)

cdef extern from "<unistd.h>" nogil:
    int getentropy(void*, size_t)
    int close(int)
    ssize_t read(int, void*, size_t)
    ssize_t write(int, const void*, size_t)
