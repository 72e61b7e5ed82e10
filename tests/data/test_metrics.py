"""Metrics are read and written without a byte of difference, and every field says what it is."""

import inspect
import json
import re
import subprocess
import sys
from dataclasses import fields

import pytest

from mofore.data import figures, metrics, retrieval_figures
from mofore.data.errors import StaleError
from mofore.data.metrics import Metrics, QueryFigures
from mofore.data.record import Record

RECORDS = sorted(
    {
        kind
        for module in (figures, metrics, retrieval_figures)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Record) and kind is not Record
    },
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", RECORDS)
def test_every_field_is_documented(kind: type[Record]) -> None:
    told = re.findall(r"^    (\w+): \S", inspect.getdoc(kind) or "", flags=re.MULTILINE)
    assert told == [f.name for f in fields(kind)]  # type: ignore[arg-type]


def test_another_schema_is_stale_and_half_a_file_damaged() -> None:
    with pytest.raises(StaleError, match="metrics of schema 1, this mofore reads 2"):
        Metrics.from_json({"schema": 1})
    with pytest.raises(ValueError, match="Metrics has no 'retrieval' in JSON"):
        Metrics.from_json({"schema": 2})


def test_older_queries_hit_by_their_rank() -> None:
    older = QueryFigures.from_json({"first_hit": [1, 2, None], "AP": [1.0, 0.5, None]})
    assert older.hits() == (1.0, 0.0, None)
    assert json.loads(json.dumps(older.as_json())) == {"first_hit": [1, 2, None], "AP": [1.0, 0.5, None]}


def test_reading_metrics_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'torch', 'faiss'} & {*sys.modules}"
    code = f"import sys; before = {heavy}; import mofore.data.metrics; assert {heavy} == before"
    subprocess.run([sys.executable, "-c", code], check=True)
