import pytest
import torch
from torch import Tensor, nn

from mofore.stages.backbone.batch_norm import fold_batch_norms
from mofore.stages.backbone.encoder import timm


def trained(name: str) -> nn.Module:
    """A model whose batch norms have statistics and weights of their own."""
    generator = torch.Generator().manual_seed(3)
    model: nn.Module = timm.create_model(name, num_classes=0).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            shape = module.running_mean.shape
            module.running_mean.copy_(torch.randn(shape, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(shape, generator=generator) + 0.5)
            module.weight.data.copy_(torch.rand(shape, generator=generator) + 0.5)
            module.bias.data.copy_(torch.randn(shape, generator=generator) * 0.1)
    return model


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "mobilenetv2_100"])
def test_folding_removes_batch_norms_and_changes_nothing_else(name: str) -> None:
    model, x = trained(name), torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    folded = fold_batch_norms(model, x[:1])
    assert norms(model) > 0
    assert norms(folded) == 0
    with torch.inference_mode():
        assert torch.allclose(folded(x), model(x), atol=1e-4, rtol=1e-4)


class NormFirst(nn.Module):
    """Defined in another order than it runs: pairing by definition would fold the wrong norm."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(self.norm(x)).mean((2, 3))


def test_a_batch_norm_that_no_convolution_feeds_stays() -> None:
    model = NormFirst().eval()
    model.norm.running_mean.fill_(2.0)
    x = torch.randn(2, 3, 4, 4)
    folded = fold_batch_norms(model, x)
    assert norms(folded) == 1
    with torch.inference_mode():
        assert torch.equal(folded(x), model(x))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(self.norm(self.convolution(x)))).mean((2, 3))


def test_shared_layers_stay() -> None:
    assert norms(fold_batch_norms(Twice().eval(), torch.randn(1, 3, 4, 4))) == 1
