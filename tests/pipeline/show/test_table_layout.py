"""Tables that fit a terminal, and say only what there is to say."""

from mofore.pipeline.show.table_layout import fitted, without_empty_columns

TABLE = (
    "Title",
    ["embedding", "R@1", "nearest of own recording", "empty", "mAP"],
    [["mofore", "1.0", "12.5", "-", "3.0"], ["raw_mean_pool", "-", "10.0", "", "2.0"]],
)


def widths(columns: list[str], rows: list[list[str]]) -> int:
    lines = [max(len(line) for line in column.split("\n")) for column in columns]
    return sum(2 + max(width, *(len(row[n]) for row in rows)) for n, width in enumerate(lines)) + 1


def test_columns_that_say_nothing_go() -> None:
    assert without_empty_columns(TABLE)[1] == ["embedding", "R@1", "nearest of own recording", "mAP"]
    assert without_empty_columns(("", ["name", "x"], [["-", "-"]]))[1:] == (["name"], [["-"]])


def test_a_wide_terminal_shows_a_table_as_it_is() -> None:
    assert fitted(TABLE, 80) == [without_empty_columns(TABLE)]
    line = ("Only a line", [], [])
    assert fitted(line, 5) == [line]


def test_headings_break_before_the_table_does() -> None:
    (found,) = fitted(TABLE, 50)
    assert found[1] == ["embedding", "R@1", "nearest\nof own\nrecording", "mAP"]


def test_what_is_too_wide_is_continued_with_the_names() -> None:
    first, second = fitted(TABLE, 35)
    assert (first[0], second[0]) == ("Title", "")
    assert first[1] == ["embedding", "R@1"]
    assert second[1] == ["embedding", "nearest\nof own\nrecording", "mAP"]
    assert second[2] == [["mofore", "12.5", "3.0"], ["raw_mean_pool", "10.0", "2.0"]]
    for _, columns, rows in (first, second):
        assert widths(columns, rows) <= 35


def test_two_columns_of_names_stay_together() -> None:
    table = ("", ["split", "embedding", "one", "two"], [["groups", "mofore", "11111111", "22222222"]])
    assert [columns for _, columns, _ in fitted(table, 30)] == [
        ["split", "embedding", "one"],
        ["split", "embedding", "two"],
    ]
