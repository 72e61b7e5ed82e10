from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mofore.data.progress import Silent
from mofore.data.settings import FitSettings
from mofore.stages.fit import stage as fit
from mofore.stages.fit.training import matrix_products
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.machine.device import has_bfloat16
from mofore.stages.model.embedding import embed_views

from ..memory import table

CPU = torch.device("cpu")


@pytest.mark.parametrize(("precision", "inside"), [("fp32", "highest"), ("bf16", "medium")])
def test_rounded_products_end_with_the_run(precision: str, inside: str) -> None:
    before = torch.get_float32_matmul_precision()
    with matrix_products(precision, CPU):
        assert torch.get_float32_matmul_precision() == inside
    assert torch.get_float32_matmul_precision() == before
    with matrix_products("auto", CPU):
        assert torch.get_float32_matmul_precision() == ("medium" if has_bfloat16(CPU) else "highest")


@pytest.mark.skipif(not has_bfloat16(CPU), reason="the processor has no bfloat16")
def test_rounded_products_change_the_embeddings_by_little(tmp_path: Path) -> None:
    videos = table([30] * 40, width=64)
    settings = FitSettings(steps=200, clip_length=4, gap_max=4, batch_size=32, embedding_width=64, hidden_width=64)
    memory, views = FrameTensors.of(videos, CPU), []
    for precision in ("fp32", "bf16"):
        fit.run(replace(settings, precision=precision), videos, tmp_path / precision, progress=Silent())
        forecaster, made = fit.load_forecaster(tmp_path / precision)
        views.append(embed_views(forecaster.teacher, memory, made, views=3))
    cosine = (views[0] * views[1]).sum(dim=-1)
    assert cosine.min() > 0.999  # a factor is off by 2^-9 of its size at most, sums are not
