# Makes rtpfwd.selectors a package that outside packages can cimport from.
