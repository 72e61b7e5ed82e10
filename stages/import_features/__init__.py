"""Features made elsewhere to a store."""
