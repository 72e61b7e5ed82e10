"""Objectives of a fit: what is learnt from clips of cached features. One file each, behind one contract."""
