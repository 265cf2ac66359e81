"""SRTP's arithmetic in C with the CPU's own instructions, behind rtpfwd.srtp. See docs/crypto.md."""
