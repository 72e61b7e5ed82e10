"""Metrics beside their baselines."""
