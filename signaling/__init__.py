"""The signaling front: rooms, peers and their wishes, carried to a media node that it knows only by its contract."""
