"""Pixels to another backbone, end to end with the fitted networks."""
