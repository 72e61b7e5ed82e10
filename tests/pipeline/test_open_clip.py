"""open_clip backbones as a user meets them: what is said of how they are made, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from mofore.stages.backbone import text_tower

from ..conftest import TINY
from ..small_clip import small_pretraining

Command = Callable[..., Result]
BACKBONE = "open_clip:small-told/its_tag"
MISMATCH = "QuickGELU mismatch"


@pytest.fixture
def work(mofore: Command, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of a backbone whose tag says nothing of the QuickGELU that its model has."""
    small_pretraining(monkeypatch, tmp_path, "small-told", {"its_tag": {"mean": (0.5,) * 3}}, quick_gelu=True)
    made = mofore("init", videos, "--backbone", BACKBONE, "-w", tmp_path / "work", *TINY)
    assert (made.exit_code, MISMATCH in made.stderr) == (0, True)
    done = mofore("run", "-w", tmp_path / "work")
    assert (done.exit_code, done.stderr.count(MISMATCH)) == (0, 1)
    return tmp_path / "work"


def test_what_open_clip_warns_of_is_shown(mofore: Command, work: Path, videos: Path) -> None:
    found = mofore("search", next(videos.glob("*/*")), "--space", "frames", "--json", "-w", work)
    assert (found.exit_code, found.stderr.count(f"note: {MISMATCH}")) == (0, 1)
    assert json.loads(found.stdout)["neighbours"]


def test_a_store_of_another_preprocessing_is_neither_added_to_nor_searched(
    mofore: Command, work: Path, videos: Path
) -> None:
    (pinned,) = work.glob("features/*/encoder.json")
    said = json.loads(pinned.read_text())
    said["preprocess"]["fit"] = "squash"
    pinned.write_text(json.dumps(said))
    searched = mofore("search", next(videos.glob("*/*")), "--space", "frames", "-w", work)
    expected = f"preprocessing fit squash of {BACKBONE}, which is now fit shortest"
    assert (searched.exit_code, expected in " ".join(searched.stderr.split())) == (2, True)
    (videos / "Bounce" / "v_Bounce_g09_c01.avi").write_bytes(next(videos.glob("*/*")).read_bytes())
    added = mofore("extract", "-w", work)
    assert (added.exit_code, expected in " ".join(added.stderr.split())) == (1, True)


def test_a_text_for_which_a_package_is_missing_is_wrong_usage(
    mofore: Command, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = text_tower.open_clip.factory._MODEL_CONFIGS["small-told"]
    monkeypatch.setitem(config["text_cfg"], "hf_tokenizer_name", "timm/ViT-B-16-SigLIP2")
    monkeypatch.setattr(text_tower, "find_spec", lambda _name: None)
    said = mofore("search", "text: a dot", "-w", work)
    assert said.exit_code == 2
    assert "needs the package transformers, which is missing: pip install 'mofore[text]'" in said.stderr
    assert "Traceback" not in said.output


def test_a_file_of_which_the_tag_must_be_known_is_refused_at_once(
    mofore: Command, videos: Path, tmp_path: Path
) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}")  # no more of it is read
    made = ("--weights", tmp_path / "w.safetensors", "--no-estimate", "-w", tmp_path / "work")
    refused = mofore("init", videos, "--backbone", "open_clip:ViT-B-32", *made)
    assert (refused.exit_code, "write open_clip:ViT-B-32/TAG" in refused.stderr) == (2, True)
    unknown = mofore("init", videos, "--backbone", "open_clip:ViT-B-32/opanai", *made)
    assert (unknown.exit_code, "did you mean openai" in unknown.stderr) == (2, True)
    assert not (tmp_path / "work").exists()
