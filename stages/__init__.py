"""One verb per module: extract, fit, index, search, and the nouns that only they need.

A stage reads its inputs, writes through :mod:`mofore.cache` and returns what it did; it neither decides
whether to run (``pipeline.plan``) nor prints (``pipeline.console``).
"""
