# Makes rtpfwd a package that outside packages can cimport from.
