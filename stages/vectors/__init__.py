"""FAISS indexes, whose answers are exact to the bit or say how far they are not."""
