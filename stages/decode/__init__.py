"""Videos to preprocessed frames, in worker processes that may die."""
