# Makes rtpfwd.codecs a package that outside packages can cimport from.
