"""``make bench``: every benchmark in turn, each printing a few lines of Markdown."""

from __future__ import annotations

import platform

import torch

from . import big_store, evaluation, extraction, forecasting, index_scale, planning, shared_machine, sweep


def main() -> None:
    """Run all benchmarks on this machine."""
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    planning.main()
    index_scale.main()
    forecasting.main()
    shared_machine.main([])
    sweep.main()
    big_store.main()
    evaluation.main()
    extraction.main()


if __name__ == "__main__":
    main()
