"""``python -m mofore`` is the command ``mofore``."""

from .pipeline.cli import main

if __name__ == "__main__":
    main()
