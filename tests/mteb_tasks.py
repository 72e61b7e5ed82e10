"""Two tasks of `mteb` over a handful of videos that are named by a column of texts; only where it is installed."""

from typing import Any

import numpy as np


def tasks(ids: list[str], labels: list[int], train: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """A classification and a clustering task: ``train`` says which videos are examples, the others are asked for."""
    from datasets import Dataset, DatasetDict
    from mteb.abstasks import AbsTaskClassification, AbsTaskClustering
    from mteb.abstasks.task_metadata import TaskMetadata

    def described(name: str, kind: str, score: str) -> TaskMetadata:
        return TaskMetadata(
            name=name, description="local", dataset={"path": "local/local", "revision": "1"}, type=kind,
            category="v2c", modalities=["video"], eval_splits=["test"], eval_langs=["eng-Latn"], main_score=score,
            reference=None, date=None, domains=None, task_subtypes=None, license=None, annotations_creators=None,
            dialect=None, sample_creation=None, bibtex_citation=None,
        )  # fmt: skip

    class Classification(AbsTaskClassification):  # type: ignore[misc]
        metadata = described("LocalClassification", "VideoClassification", "accuracy")
        input_column_name = "video"

    class Clustering(AbsTaskClustering):  # type: ignore[misc]
        metadata = described("LocalClustering", "VideoClustering", "v_measure")
        max_fraction_of_documents_to_embed = None
        input_column_name, label_column_name = "video", "label"

    def side(of: np.ndarray[Any, Any]) -> Dataset:
        rows = np.flatnonzero(of)
        return Dataset.from_dict({"video": [ids[row] for row in rows], "label": [labels[row] for row in rows]})

    both = []
    for task in (Classification(), Clustering()):
        task.dataset = {"default": DatasetDict(train=side(train), test=side(~train))}
        task.data_loaded = True
        both.append(task)
    return both[0], both[1]
