"""MoFore's networks, objective and saved fits; embeddings in every space."""
