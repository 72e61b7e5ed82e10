"""`mofore search` as a user meets it: what may be asked, what may be found, how it is shown."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from mofore.data.motion import Start, appearance, draw, write_video
from mofore.data.stills import stills
from mofore.pipeline.cli import cli
from mofore.stages.backbone.text_tower import open_clip
from mofore.stages.search.contact_sheet import HEIGHT, PICTURES, TILE, WIDTH
from mofore.stages.search.queries import Phrase
from mofore.stages.search.rerank import WEIGHT
from mofore.stages.vectors.vector_index import VectorIndex

from ...conftest import TINY
from ...small_clip import NAME, small_open_clip

Command = Callable[..., Result]
ORBIT = "Orbit/v_Orbit_g01_c01.avi"
LEVELS = ("--set", "index.levels=video, clip")


@pytest.fixture(scope="session")
def searchable(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished work folder with clips indexed too; searching changes nothing in it."""
    root = tmp_path_factory.mktemp("searchable") / "work"
    shutil.copytree(finished, root)
    settings = (root / "mofore.toml").read_text()
    (root / "mofore.toml").write_text(settings.replace('# levels = "video"', 'levels = "video, clip"'))
    done = CliRunner().invoke(cli, ["index", "-w", str(root)])
    assert done.exit_code == 0, done.output
    assert list(root.glob("index/*/mofore.clip"))
    return root


@pytest.fixture
def search(mofore: Command, searchable: Path) -> Callable[..., dict[str, Any]]:
    """The answer of a search as JSON."""

    def ask(*args: str | Path) -> dict[str, Any]:
        result = mofore("search", *args, "--json", "-w", searchable)
        assert result.exit_code == 0, result.stderr
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    return ask


Search = Callable[..., dict[str, Any]]


def ids(answer: dict[str, Any]) -> list[str]:
    return [found["video_id"] for found in answer["neighbours"]]


def test_search_finds_the_neighbours_of_a_video_by_name_and_by_file_alike(mofore: Command, work: Path) -> None:
    by_name = mofore("search", "v_Orbit_g01_c01", "-k", "3", "--json", "-w", work)
    assert by_name.exit_code == 0, by_name.stderr
    neighbours = json.loads(by_name.stdout)["neighbours"]
    assert [n["rank"] for n in neighbours] == [1, 2, 3]
    assert "Orbit/v_Orbit_g01_c01.avi" not in {n["video_id"] for n in neighbours}, "a video is no neighbour of itself"
    similarities = [n["similarity"] for n in neighbours]
    assert similarities == sorted(similarities, reverse=True)
    by_file = mofore("search", work / "videos/Orbit/v_Orbit_g01_c01.avi", "-k", "4", "--json", "-w", work)
    found = json.loads(by_file.stdout)["neighbours"]
    assert found[0]["video_id"] == "Orbit/v_Orbit_g01_c01.avi"
    assert found[0]["similarity"] == pytest.approx(1.0, abs=1e-3)
    assert [n["video_id"] for n in found[1:]] == [n["video_id"] for n in neighbours]


def test_search_takes_a_video_that_was_never_indexed(mofore: Command, work: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.avi"
    write_video(path, draw("Bounce", appearance(1), Start(0.0, 0.0, 0.5, 2.0), 20))
    result = mofore("search", path, "-k", "50", "-w", work)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 1 + 20, "no more than there are"
    assert re.match(r" +1 +0\.\d{4}  \w+/v_\w+_g01_c01\.avi +\w+", lines[1]), "the same appearance is nearest"


def test_search_says_what_it_cannot_answer(mofore: Command, work: Path, tmp_path: Path, videos: Path) -> None:
    assert "neither a video of the index" in mofore("search", "v_Nobody_g01_c01", "-w", work).stderr
    text = tmp_path / "text.avi"
    text.write_text("no video")
    result = mofore("search", text, "-w", work)
    assert result.exit_code == 2
    assert "not a readable video" in result.stderr
    fresh = tmp_path / "fresh"
    assert mofore("init", videos, "--backbone", "random:test_efficientnet", "-w", fresh).exit_code == 0
    result = mofore("search", "v_Orbit_g01_c01", "-w", fresh)
    assert result.exit_code == 2
    assert "run `mofore index -w " in result.stderr


def test_search_of_an_index_that_is_out_of_date_warns(mofore: Command, work: Path) -> None:
    result = mofore("search", "v_Orbit_g01_c01", "-w", work, "--set", "index.views=2")
    assert result.exit_code == 0
    assert "the index is out of date (config changed: index.views 3 -> 2)" in result.stderr


def test_an_index_that_is_out_of_date_is_asked_by_its_own_fit(mofore: Command, work: Path) -> None:
    """And not by the latest one, whose vectors would mean nothing there."""
    # A span is made by the networks, not taken from the index.
    span = ("search", "v_Orbit_g01_c01", "-w", work, "--from", "0.2", "--to", "0.6", "--json")
    there = json.loads(mofore(*span).stdout)["neighbours"]
    assert mofore("fit", "-w", work, "--set", "fit.seed=7").exit_code == 0
    result = mofore(*span, "--set", "index.seed=77")
    assert "the index is out of date" in result.stderr
    assert json.loads(result.stdout)["neighbours"] == there


def test_an_answer_says_what_it_is_of(search: Search) -> None:
    answer = search("v_Orbit_g01_c01", "-k", "2")
    assert {name: answer[name] for name in ("query", "label", "space", "level")} == {
        "query": ORBIT,
        "label": "Orbit",
        "space": "mofore",
        "level": "video",
    }
    for found in answer["neighbours"]:
        assert found["right"] is (found["label"] == "Orbit")
        assert found["video_id"].startswith(f"{found['label']}/v_{found['label']}_{found['group']}")


@pytest.mark.parametrize("space", ["mofore", "frames", "predict"])
@pytest.mark.parametrize("span", [(), ("--from", "0.2", "--to", "0.6")])
def test_a_file_is_embedded_as_it_was_when_it_was_indexed(
    search: Search, searchable: Path, space: str, span: Sequence[str]
) -> None:
    """Whole, or a span of it, which is decoded from the file and taken from the store."""
    stored = search(ORBIT, "--space", space, "-k", "19", *span)
    decoded = search(searchable / "videos" / ORBIT, "--space", space, "-k", "20", *span)
    assert [name for name in ids(decoded) if name != ORBIT] == ids(stored)
    expected = {found["video_id"]: found["similarity"] for found in stored["neighbours"]}
    for found in decoded["neighbours"]:
        if found["video_id"] != ORBIT:
            assert found["similarity"] == pytest.approx(expected[found["video_id"]], abs=2e-3)
    if span:
        assert stored["query"] == f"{ORBIT}, 0.20-0.60 s"
        assert stored["neighbours"] != search(ORBIT, "--space", space, "-k", "19")["neighbours"]


def test_moments_have_their_seconds(search: Search, searchable: Path) -> None:
    answer = search(ORBIT, "--level", "clip", "--from", "0.3", "--to", "0.5", "-k", "30")
    index = VectorIndex.load(next(searchable.glob("index/*/mofore.clip")))
    windows = {
        (index.items.of(row)["id"], float(index.items.start_s_N[row]), float(index.items.end_s_N[row]))
        for row in range(len(index.items))
    }
    assert {(one["video_id"], one["start_s"], one["end_s"]) for one in answer["neighbours"]} <= windows
    assert ORBIT not in ids(answer)


def test_a_moment_is_found_by_itself(search: Search, searchable: Path) -> None:
    """A window of the index cut out of its file: nothing is nearer to it than that window."""
    path = searchable / "videos" / ORBIT
    found = search(path, "--level", "clip", "--from", "0.32", "--to", "0.48", "-k", "1")["neighbours"][0]
    assert (found["video_id"], found["start_s"], found["end_s"]) == (ORBIT, pytest.approx(0.32), pytest.approx(0.48))
    assert found["similarity"] == pytest.approx(1, abs=1e-3)


def test_an_image_is_searched_for_among_frames(search: Search, searchable: Path, tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    Image.fromarray(stills(searchable / "videos" / ORBIT, 1)[0]).save(path)
    answer = search(path, "-k", "4")
    assert answer["space"] == "frames"
    assert "_g01_" in ids(answer)[0], "the same appearance is nearest"
    assert search(path, "-k", "4", "--space", "mofore")["space"] == "mofore"


def test_several_queries_are_averaged(search: Search) -> None:
    answer = search("v_Orbit_g01_c01", "v_Bounce_g01_c01", "-k", "20")
    assert len(answer["neighbours"]) == 18
    assert answer["query"] == "Orbit/v_Orbit_g01_c01.avi + Bounce/v_Bounce_g01_c01.avi"
    assert answer["notes"] == ["20 were asked for, 18 may be found"]


def test_filters_leave_what_was_asked_for(search: Search) -> None:
    assert {one["label"] for one in search(ORBIT, "--class", "Bounce", "--class", "ZoomIn")["neighbours"]} == {
        "Bounce",
        "ZoomIn",
    }
    others = search(ORBIT, "--exclude-same-group", "-k", "20")["neighbours"]
    assert {(one["label"], one["group"]) for one in others} >= {("Orbit", "g02"), ("Bounce", "g01")}
    assert ("Orbit", "g01") not in {(one["label"], one["group"]) for one in others}, "a group is of a class"
    train, test = (set(ids(search(ORBIT, "--split", side, "-k", "20"))) for side in ("train", "test"))
    assert not train & test
    assert len(train | test) == 19


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((ORBIT, "--class", "orbit"), "--class orbit: no video of the index has this class; did you mean Orbit"),
        ((ORBIT, "--split", "unassigned"), "--split unassigned leaves none of the 20 videos to be found"),
        ((ORBIT, "--from", "2", "--to", "1"), "from 2 s to 1 s: seconds from the first frame are needed"),
        ((ORBIT, "--from", "9"), f"{ORBIT} has no frame from 9.00 s: its last is at 0.92 s"),
        ((f"{{videos}}/{ORBIT}", "--from", "9"), "has no frame from 9.00 s: it is shorter"),
        (("v_Orbit_g01_c09",), "did you mean v_Orbit_g01_c01"),
        (("text: a dot",), "random:test_efficientnet knows pictures alone"),
        ((ORBIT, "--sheet", "x.pdf"), "--sheet x.pdf: a name that ends in .png"),
        ((ORBIT, "--json", "--csv"), "--json and --csv: give one of them"),
        ((ORBIT, "--interactive"), "asks for the queries itself"),
        ((), "what is to be searched for?"),
        ((ORBIT, "v_Bounce_g01_c01", "--rerank", "dtw"), "it takes one query, a video"),
        ((ORBIT, "--space", "fame"), "spaces are mofore, frames, predict and fit:KEY"),
        (
            (ORBIT, "--space", "fit:0123456789ab"),
            '`mofore index --set index.spaces="mofore, frames, predict, fit:0123456789ab" -w ',
        ),
    ],
)
def test_what_cannot_be_answered_is_said(
    mofore: Command, searchable: Path, args: tuple[str, ...], message: str
) -> None:
    result = mofore("search", *(arg.format(videos=searchable / "videos") for arg in args), "-w", searchable)
    assert result.exit_code == 2, result.stdout
    assert message in result.stderr


def test_a_level_that_is_not_indexed_names_the_command_that_indexes_it(mofore: Command, work: Path) -> None:
    result = mofore("search", ORBIT, "--level", "clip", "-w", work)
    assert result.exit_code == 2
    assert "(there are: frames.video, mofore.video, predict.video)" in result.stderr
    assert '`mofore index --set index.levels="video, clip" -w ' in result.stderr
    assert mofore("index", *LEVELS, "-w", work).exit_code == 0
    assert mofore("search", ORBIT, "--level", "clip", *LEVELS, "-w", work).exit_code == 0


def test_another_fit_is_a_space_of_its_own(mofore: Command, work: Path) -> None:
    key = next((work / "fit").iterdir()).name
    spaces = ("--set", f"index.spaces=mofore, fit:{key}")
    assert mofore("index", *spaces, "-w", work).exit_code == 0
    same, other = (
        json.loads(mofore("search", ORBIT, "--space", space, *spaces, "--json", "-w", work).stdout)
        for space in ("mofore", f"fit:{key}")
    )
    assert other["space"] == f"fit:{key}"
    assert ids(same) == ids(other), "it is the same fit"


def test_a_query_made_by_another_model_is_refused(mofore: Command, work: Path) -> None:
    path = work / "videos" / ORBIT
    changed = ("--set", "index.views=2")
    assert mofore("search", ORBIT, *changed, "-w", work).exit_code == 0, "the index alone answers"
    result = mofore("search", path, *changed, "-w", work)
    assert result.exit_code == 2
    assert re.search(
        r"was made by the model \w{12}, the query would be made by \w{12}: run `mofore index -w ", result.stderr
    )
    assert mofore("search", path, "--space", "frames", *changed, "-w", work).exit_code == 0, "no network in it"


@pytest.mark.parametrize("level", ["video", "clip"])
def test_reranking_keeps_who_is_found_and_shows_distances(search: Search, level: str) -> None:
    plain = search(ORBIT, "--level", level, "-k", "19" if level == "video" else "100")
    for method, by in (("aligned", "looks"), ("dtw", "looks"), ("dtw", "changes"), ("dtw", "both")):
        answer = search(ORBIT, "--level", level, "--rerank", method, "--by", by, "--steps", "4", "-k", "100")
        assert sorted(ids(answer)) == sorted(ids(plain))
        costs = [
            found["distance"] if by != "both" else WEIGHT * found["distance"] - found["similarity"]
            for found in answer["neighbours"]
        ]
        assert costs == pytest.approx(sorted(costs), abs=1e-6)
    assert plain["neighbours"][0]["distance"] is None


def test_csv_has_the_same_rows(mofore: Command, search: Search, searchable: Path) -> None:
    result = mofore("search", ORBIT, "-k", "3", "--csv", "-w", searchable)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    expected = search(ORBIT, "-k", "3")["neighbours"]
    assert [row["video_id"] for row in rows] == [found["video_id"] for found in expected]
    assert [float(row["similarity"]) for row in rows] == [found["similarity"] for found in expected]
    assert {row["query"] for row in rows} == {ORBIT}
    assert rows[0]["start_s"] == ""


def test_odd_names_survive_every_form(mofore: Command, videos: Path, tmp_path: Path) -> None:
    odd = 'Orbit/ein "Name", mit\nZeile und \udcff ✓.avi'
    (videos / ORBIT).rename(videos / odd)
    work = tmp_path / "work"
    tiny = ("--set", "fit.steps=2", "--set", "fit.clip_length=4", "--set", "fit.gap_max=4", "--set", "index.views=2")
    assert (
        mofore("init", videos, "--backbone", "random:test_efficientnet", "-w", work, "--no-estimate", *tiny).exit_code
        == 0
    )
    assert mofore("run", "-w", work).exit_code == 0
    ask = ("search", "v_Bounce_g01_c01", "-k", "19", "-w", work)
    assert odd in ids(json.loads(mofore(*ask, "--json").stdout))
    rows = csv.DictReader(
        io.StringIO(mofore(*ask, "--csv").stdout_bytes.decode("utf-8", "surrogateescape"), newline="")
    )
    assert odd in [row["video_id"] for row in rows]
    assert mofore(*ask, "--sheet", tmp_path / "sheet.png").exit_code == 0
    assert "\\udcff ✓.avi" in mofore(*ask).stdout
    assert mofore("search", odd, "-w", work).exit_code == 0


def test_a_sheet_shows_query_and_neighbours(mofore: Command, work: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    assert mofore("search", ORBIT, "-k", "5", "--sheet", path, "-w", work).exit_code == 0
    with Image.open(path) as sheet:
        whole = np.asarray(sheet)
    nearest = json.loads(mofore("search", ORBIT, "-k", "5", "--json", "-w", work).stdout)["neighbours"][0]
    (work / "videos" / nearest["video_id"]).unlink()
    assert mofore("search", ORBIT, "-k", "5", "--sheet", path, "-w", work).exit_code == 0
    with Image.open(path) as sheet:
        lost = np.asarray(sheet)
    assert whole.shape == lost.shape
    grey = [int((drawn == TILE).all(axis=2).sum()) for drawn in (whole, lost)]
    assert grey[1] - grey[0] > PICTURES * WIDTH * HEIGHT / 2, "one strip without pictures, and why"


def lines_of(work: Path, typed: str, *args: str) -> Result:
    return CliRunner().invoke(cli, ["search", "--interactive", *args, "-w", str(work)], input=typed)


def test_interactive_answers_line_after_line_and_survives_what_is_wrong(searchable: Path, search: Search) -> None:
    typed = f"v_Orbit_g01_c01\nnobody\n\ntext: x\n{searchable}/videos/{ORBIT}\n{ORBIT} + v_Bounce_g01_c01\n"
    result = lines_of(searchable, typed, "-k", "3", "--json")
    assert result.exit_code == 0, result.output
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert ids(answers[0]) == ids(search(ORBIT, "-k", "3"))
    assert ["error" in answer for answer in answers] == [False, True, True, False, False]
    assert ids(answers[3])[0] == ORBIT
    assert " + " in answers[4]["query"]
    assert result.stderr.count("error:") == 2
    table = lines_of(searchable, typed, "--class", "Bounce")
    assert table.stdout.count("nearest to") == 3
    assert not re.search(r"Zoom|Slide", table.stdout), "the filters hold for every line"


def test_interactive_loads_the_encoder_once(searchable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mofore.stages.search import encoder as query_encoder

    loads: list[int] = []
    load = query_encoder.load_encoder

    def counted(*args: Any) -> Any:
        loads.append(1)
        return load(*args)

    monkeypatch.setattr(query_encoder, "load_encoder", counted)
    result = lines_of(searchable, f"{searchable}/videos/{ORBIT}\n" * 3, "--space", "frames")
    assert result.stdout.count("nearest to") == 3
    assert len(loads) == 1


def test_a_text_is_searched_for_with_an_open_clip_backbone(mofore: Command, videos: Path, tmp_path: Path) -> None:
    weights, model = small_open_clip(tmp_path)
    work = tmp_path / "work"
    made = ("--backbone", f"open_clip:{NAME}", "--weights", weights, "--no-estimate", "-w", work, *TINY)
    assert mofore("init", videos, *made).exit_code == 0
    assert mofore("run", "-w", work).exit_code == 0
    said = mofore("search", "text: a dot", "--template", "a drawing of {}", "-k", "20", "--json", "-w", work)
    answer = json.loads(said.stdout)
    assert (answer["space"], answer["query"]) == ("frames", str(Phrase("a drawing of a dot")))
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer(NAME)(["a drawing of a dot"])
        text_E = model.encode_text(tokens, normalize=True)[0].numpy()  # type: ignore[operator]
    index = VectorIndex.load(next(work.glob("index/*/frames.video")))
    expected = {index.items.of(row)["id"]: float(index.embeddings_NE[row] @ text_E) for row in range(20)}
    assert {found["video_id"]: found["similarity"] for found in answer["neighbours"]} == pytest.approx(
        expected, abs=1e-4
    )
    assert ids(answer) == sorted(ids(answer), key=lambda name: -expected[name])
    wrong = mofore("search", "text: a dot", "--space", "mofore", "-w", work)
    assert (wrong.exit_code, "leave out --space" in wrong.stderr) == (2, True)


def test_an_encoder_with_other_weights_than_the_stores_is_refused(
    mofore: Command, searchable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mofore.stages.search import encoder as query_encoder

    load = query_encoder.load_encoder
    monkeypatch.setattr(query_encoder, "load_encoder", lambda settings, *rest: load(replace(settings, seed=1), *rest))
    result = mofore("search", searchable / "videos" / ORBIT, "-w", searchable)
    assert result.exit_code == 2
    assert re.search(r"were made with weights \w{12} of random:test_efficientnet, which are now \w{12}", result.stderr)
