"""Frozen encoders: weights, precision, blocks."""
