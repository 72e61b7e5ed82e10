"""A query to its neighbours."""
