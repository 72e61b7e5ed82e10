"""A run as a page: one folder that opens from disk, without a server and without asking the network for anything."""
