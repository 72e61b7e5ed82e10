import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from mofore.stages.backbone.bfloat16 import diffuse_rounding, to_bfloat16

weights = arrays.arrays(np.float32, (3, 1, 3, 3), elements=st.floats(-4, 4, width=32))


@given(weights)
@settings(max_examples=200, deadline=None)
def test_sums_of_kernels_survive_rounding(kernels: np.ndarray) -> None:
    weight = torch.from_numpy(kernels)
    rounded = diffuse_rounding(weight)
    assert torch.equal(rounded, rounded.bfloat16().float()), "every weight is a bfloat16"
    error = (rounded.flatten(1).sum(1) - weight.flatten(1).sum(1)).abs()
    # Half a step of the smallest weight plus what was carried to it: at most half a step of the next larger one.
    smallest = weight.flatten(1).abs().sort(dim=1).values[:, :2].amax(1)
    assert (error <= smallest * 2**-8 + 1e-5).all()  # 1e-5: nine additions of float32


def test_no_weight_moves_by_more_than_two_steps() -> None:
    weight = torch.randn(64, 16, 3, 3, generator=torch.Generator().manual_seed(0))
    moved = (diffuse_rounding(weight) - weight).abs()
    largest = weight.abs().flatten(1).amax(1).view(-1, 1, 1, 1)
    assert (moved <= largest * 2**-7).all()


def test_the_given_network_is_left_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rounded = to_bfloat16(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {value.dtype for value in rounded.state_dict().values()} == {torch.bfloat16}


@pytest.mark.real
def test_mobilenet_v2_keeps_its_features_only_because_sums_are_kept(shared: object) -> None:
    from pathlib import Path

    from torch.nn.functional import cosine_similarity

    from mofore.data.catalog import scan
    from mofore.data.decode import decode
    from mofore.data.pictures import rgb
    from mofore.data.settings import ExtractSettings
    from mofore.stages.backbone.encoder import load_encoder
    from mofore.stages.backbone.network import ComputeMode

    folder = Path(str(shared))
    encoder = load_encoder(
        ExtractSettings(backbone="timm:mobilenetv2_100"),
        folder / "weights" / "mobilenetv2_100.imagenet.safetensors",
        torch.device("cpu"),
    )
    catalog = scan(folder / "data" / "ucf101-mini")
    firsts = [next(decode(catalog.path(video)))[0] for video in catalog.videos[::60]]
    frames = torch.cat([encoder.preprocess(torch.from_numpy(rgb(frame)[None].copy())) for frame in firsts])
    plain = encoder.encode(frames)
    kept = cosine_similarity(plain, encoder.at(ComputeMode("bf16", folded=True), frames).encode(frames)).min()
    nearest = encoder.at(ComputeMode(folded=True), frames)
    nearest.network.model.to(torch.bfloat16)
    nearest.network.dtype = torch.bfloat16
    lost = cosine_similarity(plain, nearest.encode(frames)).min()
    assert kept > 0.99
    assert lost < kept
