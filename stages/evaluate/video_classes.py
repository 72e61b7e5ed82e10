"""Which classes videos have. Two videos are of one class if they share any: the usual rule of multi-label retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...data.arrays import Bool, Int64
from ...data.types import Video, recording_of


@dataclass(frozen=True, slots=True)
class VideoClasses:
    """The classes of V videos.

    Attributes:
        names: of the C classes, sorted; codes count in them.
        first_V: code of each video's class, of several the first; -1 where it has none.
        member_VC: whether a video has a class; None where no video has several, and ``first_V`` says all.
    """

    names: tuple[str, ...]
    first_V: Int64
    member_VC: Bool | None

    @classmethod
    def of(cls, videos: Sequence[Video]) -> VideoClasses:
        """The classes of some videos."""
        names = tuple(sorted({label for video in videos for label in video.labels}))
        code = {label: number for number, label in enumerate(names)}
        first_V = np.array([-1 if video.label is None else code[video.label] for video in videos], np.int64)
        if not any(video.more_labels for video in videos):
            return cls(names, first_V, None)
        member_VC = np.zeros((len(videos), len(names)), bool)
        for row, video in enumerate(videos):
            member_VC[row, [code[label] for label in video.labels]] = True
        return cls(names, first_V, member_VC)

    @property
    def labelled_V(self) -> Bool:
        """Whether a video has a class."""
        return np.asarray(self.first_V >= 0)

    def members(self, number: int) -> Int64:
        """Positions of the videos of a class."""
        return np.flatnonzero(self.first_V == number if self.member_VC is None else self.member_VC[:, number])

    def shared(self, pairs_P2: Int64) -> Bool:
        """Whether two videos share a class (P,); both must have one."""
        first_P, second_P = pairs_P2[:, 0], pairs_P2[:, 1]
        if self.member_VC is None:
            return np.asarray(self.first_V[first_P] == self.first_V[second_P])
        return np.asarray((self.member_VC[first_P] & self.member_VC[second_P]).any(axis=1))


def recordings(ids: Sequence[str], labels: Sequence[Sequence[str]], groups: Sequence[str | None]) -> Int64 | None:
    """Recording (V,) that each video was cut from, as a number; None where no video has a group.

    A recording is known by its group; where groups are numbered anew in each class, by class and group
    (:func:`..data.types.recording_of`); videos of one such group that share a class are of one recording, also by way
    of others. A video without a group is a recording of its own.
    """
    if all(group is None for group in groups):
        return None
    names = [
        [f"\0{video}"] if group is None else [str(recording_of(label, group)) for label in of_video or (None,)]
        for video, of_video, group in zip(ids, labels, groups, strict=True)
    ]
    leader: dict[str, str] = {}
    for of_video in names:
        found = [_follow(leader, name) for name in of_video]
        leader.update(dict.fromkeys(found, min(found)))
    return np.unique([_follow(leader, of_video[0]) for of_video in names], return_inverse=True)[1].astype(np.int64)


def _follow(leader: dict[str, str], name: str) -> str:
    """The first by name of all that a name was joined with."""
    while leader.setdefault(name, name) != name:
        name = leader[name]
    return name
