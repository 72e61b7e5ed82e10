import re

import pytest

from mofore.data.figures import Interval
from mofore.stages.report.charts import (
    HEIGHT,
    LETTER,
    WIDTH,
    Axes,
    Line,
    Whisker,
    histogram,
    line_chart,
    matrix,
    whiskers,
)

EVIL = "<script>alert(1)</script>"


def numbers(svg: str, attribute: str) -> list[float]:
    return [float(found) for found in re.findall(rf'{attribute}="(-?[\d.]+)"', svg)]


def test_points_stay_within_the_chart_and_keep_their_order() -> None:
    chart = str(line_chart("skill", [Line("mofore", [0, 4, 8], [-0.5, 0.1, 0.4])], Axes("gap", "skill", zero=True)))
    x, y = numbers(chart, "cx"), numbers(chart, "cy")
    assert x == sorted(x)
    assert y == sorted(y, reverse=True), "larger is higher up"
    assert all(0 <= value <= WIDTH for value in x)
    assert all(0 <= value <= HEIGHT for value in y)


def test_lines_that_are_not_known_are_left_out() -> None:
    assert line_chart("skill", [Line("mofore", [0, 4], [None, None])], Axes("gap", "skill")) == ""
    assert histogram("lengths", {"length": []}, "seconds") == ""
    assert whiskers("mAP", [], "mAP") == ""
    one = line_chart("skill", [Line("mofore", [0, 4, 8], [0.1, None, float("nan")])], Axes("gap", "skill"))
    assert len(numbers(str(one), "cx")) == 1


def test_a_chart_tells_what_it_shows_to_those_who_do_not_see_it() -> None:
    chart = str(
        whiskers("mAP", [Whisker("mofore", 85.3, Interval(79.3, 90.5)), Whisker("raw", 68.0, None, False)], "%")
    )
    assert 'role="img" aria-label="mAP. mofore 85.3; raw 68.0"' in chart


@pytest.mark.parametrize(
    "chart",
    [
        line_chart(EVIL, [Line(EVIL, [0, 1], [0, 1]), Line("b", [0, 1], [0, 1])], Axes(EVIL, EVIL)),
        histogram(EVIL, {EVIL: [1.0, 2.0], "b": [1.0]}, EVIL, {EVIL: 1.0}),
        whiskers(EVIL, [Whisker(EVIL, 1.0)], EVIL),
        matrix(EVIL, [EVIL, "b"], [[1, 0], [0, 1]]),
    ],
)
def test_names_are_shown_as_text(chart: str) -> None:
    assert "<script" not in chart
    assert "&lt;script&gt;" in chart


def test_shares_of_a_histogram_are_of_each_sample() -> None:
    chart = str(histogram("cosines", {"few": [0.0], "many": [1.0] * 50}, "cosine"))
    heights = numbers(chart, 'rect class="bar s0"[^>]*height') + numbers(chart, 'rect class="bar s1"[^>]*height')
    assert len(heights) == 2
    assert heights[0] == pytest.approx(heights[1])


def test_a_constant_sample_is_drawn_too() -> None:
    assert "<rect" in str(histogram("rates", {"rate": [25.0, 25.0]}, "frames a second"))
    assert "<circle" in str(line_chart("skill", [Line("mofore", [3], [0.0])], Axes("gap", "skill")))


def test_a_matrix_shows_shares_of_each_row() -> None:
    chart = str(matrix("classes", ["a", "b"], [[3, 1], [0, 0]]))
    assert "a taken for b: 1 of 4" in chart
    assert numbers(chart, "fill-opacity")[:2] == pytest.approx([0.765, 0.295], abs=0.006)


def test_names_of_runs_stand_beside_the_chart_and_long_ones_are_cut_by_a_letter() -> None:
    drawn = whiskers("mAP", [Whisker("lr=0.0001 seed=0 objective=mofore preset=forecast", 85.3)], "%")
    (place, anchor, shown) = re.findall(r'class="name" x="([\d.]+)" y="[\d.]+" text-anchor="(\w+)">([^<]+)<', drawn)[0]
    assert anchor == "end"
    assert shown.endswith("…")
    assert LETTER * len(shown) < float(place)
