"""Nouns and pure functions: types, settings, errors, catalog, splits, decoding, windows, the motion set."""
