"""A model to embeddings and indexes."""
