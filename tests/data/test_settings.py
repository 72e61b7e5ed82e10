from typing import Any

import pytest

from mofore.data.errors import ConfigError
from mofore.data.fit_settings import FitSettings
from mofore.data.index_settings import IndexSettings
from mofore.data.sampling import Sampling
from mofore.data.settings import DataSettings, ExtractSettings


def test_the_defaults_are_the_papers_recipe() -> None:
    fit = FitSettings()
    assert (fit.batch_size, fit.lr, fit.momentum) == (8, 1e-4, 0.7)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (FitSettings, {"steps": 0}, r"fit\.steps = 0: a whole number of at least 1"),
        (FitSettings, {"steps": 2.5}, r"fit\.steps = 2\.5: a whole number"),
        (FitSettings, {"steps": True}, r"fit\.steps = True: a whole number"),
        (FitSettings, {"lr": "fast"}, r"fit\.lr = 'fast': a number from 0 to 10"),
        (FitSettings, {"lr": float("nan")}, r"fit\.lr = nan"),
        (FitSettings, {"gap_min": 5, "gap_max": 4}, r"fit\.gap_max = 4: at least fit\.gap_min = 5"),
        (ExtractSettings, {"precision": "fp8"}, r"extract\.precision = 'fp8': one of auto, fp32, bf16"),
        (ExtractSettings, {"backbone": "resnet50"}, r"extract\.backbone = 'resnet50': timm:NAME"),
        (ExtractSettings, {"max_failure_rate": 2}, r"from 0 to 1"),
        (IndexSettings, {"kind": "magic"}, r"index\.kind = 'magic': one of flat"),
        (ExtractSettings, {"stride": 0}, r"extract\.stride = 0: a whole number of at least 1"),
        (ExtractSettings, {"fps": -1}, r"extract\.fps = -1"),
        (ExtractSettings, {"fps": float("inf")}, r"extract\.fps = inf"),
        (ExtractSettings, {"stride": 2, "fps": 5}, r"extract\.stride = 2 and extract\.fps = 5: give one of them"),
        (ExtractSettings, {"image_fps": 0}, r"extract\.image_fps = 0"),
        (DataSettings, {"images": "always"}, r"data\.images = 'always': auto, never, or the names of the images"),
        (DataSettings, {"images": "a*b*.jpg"}, r"data\.images = 'a\*b\*\.jpg'"),
        (DataSettings, {"images": "img_*.avi"}, r"with a star for the number"),
        (DataSettings, {"root": 3}, r"data\.root = 3: a text in quotes"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(kind: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**values)


@pytest.mark.parametrize("values", [{"stride": 2}, {"fps": 5}, {"image_size": 224}, {"weights": "w.pth"}])
def test_what_does_nothing_to_imported_features_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"extract\.{next(iter(values))} = .* it would do nothing: leave it out"):
        ExtractSettings(backbone="import:mine", **values)
    assert ExtractSettings(backbone="import:mine", device="cpu").backbone == "import:mine"


def test_a_whole_number_will_do_for_a_number() -> None:
    assert FitSettings(lr=1).lr == 1.0


def test_how_fast_is_no_part_of_what() -> None:
    assert "batch_size" not in ExtractSettings().identity()
    assert "batch_size" in FitSettings().identity()
    assert "device" not in FitSettings().identity()


def test_which_frames_are_kept_is_part_of_what() -> None:
    assert {"stride", "fps", "image_fps"} <= ExtractSettings().identity().keys()
    assert ExtractSettings(stride=3).sampling() == Sampling(stride=3)
    assert ExtractSettings(fps=5).sampling() == Sampling(fps=5.0)


def test_passes_are_steps_by_the_number_of_videos() -> None:
    settings = FitSettings(passes=60, batch_size=256)
    assert settings.counted(1341).steps == 300
    assert settings.counted(216).steps == 60, "a batch holds all of fewer videos"
    assert settings.counted(9537).steps == 60 * 37
    assert FitSettings(passes=3, batch_size=8, pairs_per_video=2).counted(9).steps == 6
    assert FitSettings(steps=7).counted(9).steps == 7
    assert settings.counted(1341).passes == 0
