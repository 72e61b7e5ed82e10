"""The errors that mofore raises on purpose.

::

    MoforeError                  what went wrong, with which value, and the way out
    ├── UsageError               wrong usage or configuration; nothing was started   (exit code 2)
    │   ├── ConfigError          a setting is unknown, of the wrong type or out of range
    │   ├── CatalogError         the data folder or a split list is missing, empty or contradictory
    │   ├── FeaturesError        features to import are of a wrong shape, not finite or contradictory
    │   ├── BackboneError        the backbone is unknown, or the weights don't belong to it
    │   ├── WorkspaceError       the work folder is missing, taken, or in use by another run
    │   │   └── ReadOnlyError    it cannot be written to
    │   └── StaleError           --only was asked for, but an upstream stage is out of date
    ├── StageError               a stage could not finish; what it had done is kept  (exit code 1)
    │   └── TooManyFailures      more videos failed than `extract.max_failure_rate` allows
    ├── StoreError               a file of the work folder is damaged                (exit code 1)
    └── VideoError               one video could not be read; collected, never fatal (exit code 3)
        └── UnreachedError       by no fault of its own: the store that it is in fails
"""

from __future__ import annotations


class MoforeError(Exception):
    """Base of every error that a user can cause or cure; the message says which value and what to do."""

    exit_code = 1


class UsageError(MoforeError):
    """The command cannot start as it was asked."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown, has the wrong type, or is out of range."""


class CatalogError(UsageError):
    """The data folder or a split list is missing, empty or contradicts itself."""


class FeaturesError(UsageError):
    """Features that are to be imported are missing, of a wrong shape, not finite, or contradict themselves."""


class BackboneError(UsageError):
    """The backbone's name is unknown, or the given weights are not its weights."""


class WorkspaceError(UsageError):
    """The work folder is missing, already taken, or in use by another run."""


class ReadOnlyError(WorkspaceError):
    """The work folder cannot be written to."""


class StaleError(UsageError):
    """``--only`` was asked for, but a stage above is out of date."""


class StageError(MoforeError):
    """A stage could not finish. What it had published stays, and the next run goes on from there."""


class TooManyFailures(StageError):
    """The share of unreadable videos went above ``extract.max_failure_rate``: something else is wrong."""


class StoreError(MoforeError):
    """A file that mofore wrote is damaged or of another version."""


class VideoError(MoforeError):
    """One video could not be read. Collected and reported; it never stops the others."""

    exit_code = 3


class UnreachedError(VideoError):
    """The store that a video is in failed, or the line: nothing is known of the video."""
