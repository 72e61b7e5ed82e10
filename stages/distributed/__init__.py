"""Several processes at one job."""
