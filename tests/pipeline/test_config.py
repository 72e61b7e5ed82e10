import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from mofore.data.earlier_settings import REMOVED, RENAMED
from mofore.data.errors import ConfigError
from mofore.pipeline.config import SECTIONS, given_settings, load_config, make_config, parse_override, render


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    values = {"data": {"root": 'a "quoted"\\folder'}, "fit": {"steps": 7}, "index": {"center": False}}
    path = tmp_path / "mofore.toml"
    path.write_text(render(values), encoding="utf-8")
    assert tomllib.loads(path.read_text()) == {**values, "extract": {}, "finetune": {}, "evaluate": {}, "report": {}}
    assert load_config(path) == make_config(values)


def test_every_setting_is_documented_in_the_file() -> None:
    text = render({})
    for section, kind in SECTIONS.items():
        assert f"[{section}]" in text
        for f in fields(kind):
            assert f"# {f.name} = " in text
            assert len(f.metadata["doc"]) > 10


def test_a_commented_default_is_the_default() -> None:
    lines = [line[2:] if line.startswith("# ") and " = " in line else line for line in render({}).splitlines()]
    kept = [
        line
        for line in lines
        if line.startswith("[") or (line and not line.startswith("#") and line.split()[1:2] == ["="])
    ]
    assert make_config(tomllib.loads("\n".join(kept))) == make_config({})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fitt": {}}, "unknown section 'fitt': did you mean 'fit'"),
        ({"fit": {"step": 3}}, r"unknown setting 'fit\.step': did you mean 'fit\.steps'"),
        ({"extract": {"lr": 3}}, r"unknown setting 'extract\.lr'"),
        ({"fit": {"preset": "magic"}}, r"fit\.preset = 'magic': one of default, paper"),
    ],
)
def test_an_unknown_name_is_met_with_the_nearest(values: dict[str, dict[str, object]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(values)


def test_a_setting_of_an_earlier_version_is_passed_over_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "mofore.toml"
    path.write_text('[fit]\ncompile = "on"\nsteps = 7\n')
    config = load_config(path, ["fit.compile=off"])
    assert config == make_config({"fit": {"steps": 7}})
    assert config.notes == ("fit.compile is no more: every step is torch's; ignored",)
    assert "compile" not in render({"fit": {"compile": "on"}}).partition("[fit]")[2]
    with pytest.raises(ConfigError, match=r"unknown setting 'index\.compile'"):
        make_config({"index": {"compile": "on"}})


def test_what_earlier_versions_had_is_no_setting_now() -> None:
    known = {f"{section}.{f.name}" for section, kind in SECTIONS.items() for f in fields(kind)}
    assert REMOVED
    assert not known & REMOVED.keys()


def test_overrides_win_and_take_plain_text_too(tmp_path: Path) -> None:
    path = tmp_path / "mofore.toml"
    path.write_text("[fit]\nlr = 0.5\n")
    config = load_config(path, ["fit.lr=1e-3", "extract.backbone=timm:resnet50", "index.center=false"])
    assert (config.fit.lr, config.extract.backbone, config.index.center) == (1e-3, "timm:resnet50", False)


@pytest.mark.parametrize("text", ["fit.lr", "lr=3", "fit.=3", ".lr=3"])
def test_an_override_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"section\.key=value is needed"):
        parse_override(text)


def test_broken_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mofore.toml"
    path.write_text("[fit\nlr = ")
    with pytest.raises(ConfigError, match=r"mofore\.toml' is not valid TOML"):
        load_config(path)
    path.write_text("lr = 3")
    with pytest.raises(ConfigError, match="'lr' stands outside a section"):
        load_config(path)


def test_one_seed_is_every_sections_unless_it_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mofore.toml"
    path.write_text(render({"": {"seed": 3}, "fit": {"seed": 5}}), encoding="utf-8")
    config = load_config(path)
    assert (config.data.split_seed, config.extract.seed, config.evaluate.seed, config.index.seed) == (3, 3, 3, 3)
    assert (config.fit.seed, config.finetune.seed) == (5, 3)
    assert load_config(path, ["seed=4"]).finetune.seed == 4
    assert "# seed = 0" in render({})
    for given, message in (({"seed": -1}, "seed = -1"), ({"seed": "x"}, "seed = 'x'"), ({"sead": 1}, "did you mean")):
        with pytest.raises(ConfigError, match=message):
            make_config({"": given})


def test_settings_are_read_by_their_earlier_names() -> None:
    config = make_config({"fit": {"validation": 0.2}, "index": {"pairs": 7, "memory_mb": 9}, "extract": {"workers": 2}})
    assert (config.fit.holdout, config.evaluate.pairs, config.index.size_mb, config.extract.decoders) == (0.2, 7, 9, 2)
    assert "fit.validation is now fit.holdout; it is read as that" in config.notes
    for old, new in RENAMED.items():
        section, _, key = new.partition(".")
        assert key in {f.name for f in fields(SECTIONS[section])}, old


def test_a_new_name_makes_nothing_anew() -> None:
    identity = make_config({"fit": {"holdout": 0.2}}).fit.identity()
    assert identity["validation"] == 0.2
    assert "holdout" not in identity


def test_scripts_find_what_they_looked_at_by_its_earlier_name() -> None:
    from mofore.pipeline import snapshot, world

    assert (world.observe, world.World) == (snapshot.observe, snapshot.Snapshot)


def test_the_one_seed_is_a_setting_of_every_section() -> None:
    given = given_settings({"seed": 3, "fit": {"validation": 0.2}})  # type: ignore[dict-item]
    assert ("data", "split_seed") in given
    assert ("index", "seed") in given
    assert given[-1] == ("fit", "holdout")


def test_steps_that_are_asked_for_count_more_than_a_presets_passes() -> None:
    assert make_config({}).fit.passes > 0
    assert make_config({"fit": {"steps": 30}}).fit.counted(1000).steps == 30
    assert make_config({"fit": {"steps": 30, "passes": 2, "batch_size": 8}}).fit.counted(1000).steps == 250
