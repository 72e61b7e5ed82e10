"""All that outlives a run, and the only code that writes it.

Atomic files, fingerprints, the ledger, the feature store, checkpoints and the lock of a work folder.
"""
