"""Tables of what is measured when it is asked for: on 80 columns, each figure beside chance."""

import json
from pathlib import Path
from typing import Any

from mofore.data.metrics import Metrics
from mofore.pipeline.show.metric_tables import metric_tables
from mofore.pipeline.show.table_layout import TableText, fitted


def score(accuracy: float, chance: float, **more: Any) -> dict[str, Any]:
    sure = {"interval": [accuracy - 2, accuracy + 2], "interval_by_group": [accuracy - 5, accuracy + 4]}
    return {"accuracy": accuracy, "chance": chance, "n": 3783, **more, **sure}


def tables(finished: Path, **further: Any) -> list[TableText]:
    return metric_tables(Metrics.from_json({**json.loads((finished / "metrics.json").read_text()), **further}))


def width(headings: list[str], rows: list[list[str]]) -> int:
    texts = [(*heading.split("\n"), *(row[n] for row in rows)) for n, heading in enumerate(headings)]
    return 1 + sum(2 + max(map(len, column)) for column in texts)


def fits(table: TableText, columns: int = 80) -> bool:
    return all(width(headings, rows) <= columns for _, headings, rows in fitted(table, columns))


def test_mveb_is_a_table_of_its_own(finished: Path) -> None:
    clusters = {"v_measure": 80.9, "sd": 2.2, "chance": 7.4, "n": 524}
    rows = {
        "mofore": {"classification": score(88.8, 7.1, sd=1.4), "clustering": clusters},
        "raw_mean_pool": {"classification": score(87.4, 7.1, sd=1.4), "clustering": None},
    }
    (table,) = [each for each in tables(finished, mveb=rows) if each[0].startswith("MVEB")]
    assert "chance 7.1" in table[0]
    assert table[2] == [
        ["mofore", "88.8", "1.4", "83.8-92.8", "80.9", "2.2", "7.4"],
        ["raw_mean_pool", "87.4", "1.4", "82.4-91.4", "-", "-", "-"],
    ]
    assert fits(table)


def test_harder_views_stand_beside_chance(finished: Path) -> None:
    tested = {"difference": 0.6, "interval": [0, 1], "interval_by_group": None, "p": 0.1, "verdict": None, "n": 9}
    harder = {
        "attentive_probe": {"mofore": {**score(95.4, 8.2), "mean": 94.8, "against_mean": tested, "C": 10.0}},
        "arrow_of_time": {"mofore": score(61.0, 50), "raw_difference": score(58.8, 50)},
        "reversal": {"raw_difference": score(39.3, 50)},
        "chirality": {
            "mofore": {"accuracy": 70.0, "chance": 52.0, "pairs": {"Open door <> Close door": score(70, 52)}}
        },
    }
    found = tables(finished, harder=harder)
    (views,) = [each for each in found if each[0].startswith("Harder views")]
    assert views[0] == "Harder views, % (chance of arrow of time and reversal: 50; probe's chance 8.2)"
    assert views[2] == [
        ["mofore", "95.4", "90.4-99.4", "94.8", "61.0", "56.0-65.0", "-", "-"],
        ["raw_difference", "-", "-", "-", "58.8", "53.8-62.8", "39.3", "34.3-43.3"],
    ]
    (pairs,) = [each for each in found if each[0].startswith("Temporally opposite")]
    assert pairs[2][0] == ["Open door <> Close door", "mofore", "70.0", "65.0-74.0", "52.0", "3,783"]
    assert pairs[2][1][:3] == ["mean", "mofore", "70.0"]
    assert fits(views)
    assert fits(pairs)


def test_without_them_there_is_no_table(finished: Path) -> None:
    assert not [title for title, _, _ in tables(finished) if title.startswith(("MVEB", "Harder", "Temporally"))]
