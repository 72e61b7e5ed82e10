"""Frozen backbones: from frames to features, z_i = E(x_i) of eq. (4).

The contract of an encoder is one method: :meth:`Encoder.encode`, uint8 frames (B, C, H, W), or of a clip backbone
windows of T frames (B, T, C, H, W), in, float32 features (B, D) out. Libraries differ only in how the model is made.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import timm
import torch
from timm.data.config import resolve_model_data_config
from torch import Tensor, nn

from ...data.backbone import Backbone, parse_backbone
from ...data.colours import COLOURS
from ...data.errors import BackboneError, StageError
from ...data.settings import ExtractSettings
from ..decode.device_preprocess import RESIZE
from ..decode.preprocess import Preprocess, open_clip_preprocess, timm_preprocess
from ..decode.windows import Windowing
from .hf_models import check_installed, load_hf
from .hub import hub_access
from .loaded import Loaded
from .network import PLAIN, ComputeMode, Network, build_network, lay_channels_last
from .own_models import check_python, load_python
from .remarks import library_remarks
from .timm_models import load_timm
from .torchvision_models import check_torchvision, load_torchvision
from .tuned_weights import Carried, read_carried
from .weight_files import read_weights
from .weight_fit import Taker, fit_weights, load_fit

PACKAGES = ("torch", "timm", "open_clip_torch", "av", "h5py", "numpy")
LOADERS = {"hf": load_hf, "torchvision": load_torchvision, "python": load_python}
CHECKS = {"hf": check_installed, "torchvision": check_torchvision, "python": check_python}


@dataclass(frozen=True, slots=True)
class Encoder:
    """A frozen backbone, ready to run."""

    model: nn.Module  # the fp32 weights, in evaluation mode
    method: str  # of ``model`` that turns pictures (B, C, H, W) into features (B, D)
    preprocess: Preprocess  # what the frames went through
    device: torch.device  # where it runs
    provenance: dict[str, Any]  # what is needed to make the same encoder again
    arithmetic: ComputeMode  # how the features are computed
    network: nn.Module  # ``model`` in that arithmetic, uint8 frames (B, C, H, W) in, features (B, D) out
    notes: tuple[str, ...] = ()  # what the user should know of how it was made
    windows: Windowing | None = None  # how frames become what the network takes; None if it takes them one by one

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one row's input: (C, H, W), or (T, C, H, W)."""
        frame = (3, *self.preprocess.size)
        return frame if self.windows is None else (self.windows.length, *frame)

    @torch.inference_mode()
    def encode(self, frames_BCHW: Tensor) -> Tensor:
        """Features (B, D), float32 on the CPU, of preprocessed uint8 frames (B, C, H, W)."""
        return self.forward(frames_BCHW.to(self.device, non_blocking=True)).float().cpu()

    @torch.inference_mode()
    def forward(self, frames_BCHW: Tensor) -> Tensor:
        """Features (B, D) on the device and in the dtype of the network, of frames that are there already."""
        features_BD: Tensor = self.network(frames_BCHW)
        if features_BD.ndim != 2:
            raise BackboneError(
                f"the backbone gives features of shape {tuple(features_BD.shape)} for a batch; (B, D) is needed"
            )
        return features_BD

    def at(self, arithmetic: ComputeMode, example_BCHW: Tensor) -> Encoder:
        """The same backbone computed in another way.

        Args:
            arithmetic: the way.
            example_BCHW: uint8 frames, of which one is run to find the batch norms that can be folded.
        """
        network = build_network(self.model, self.method, self.preprocess, arithmetic, example_BCHW.to(self.device))
        return replace(self, arithmetic=arithmetic, network=network)


def load_encoder(settings: ExtractSettings, weights: Path | None, device: torch.device) -> Encoder:
    """Make the backbone that ``extract.backbone`` names, in fp32.

    Args:
        settings: of the stage.
        weights: local weights to load in place of the hub's.
        device: where to put it.

    Raises:
        BackboneError: if the name is unknown, or ``weights`` are not this model's.
        StageError: if the hub cannot be reached.
    """
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # fp32 is what the other arithmetics are held against
    backbone = parse_backbone(settings.backbone)
    check_name(backbone, with_weights=weights is not None)
    if backbone.library in LOADERS:
        return _assembled(backbone, settings, weights, device)
    carried = read_carried(weights)
    if carried is not None and not settings.image_size:
        settings = replace(settings, image_size=carried.image_size)
    with library_remarks() as remarks:
        if backbone.library == "open_clip":
            model, method, preprocess, taken = _make_open_clip(backbone, settings, weights, carried)
        else:
            model, method, preprocess, taken = _make_timm(backbone, settings, weights)
    if carried is not None:
        preprocess = carried.at_size_of(preprocess)
    model = lay_channels_last(model.eval().requires_grad_(False).to(device))
    provenance = {
        **_provenance(backbone, settings, weights, Loaded(model, preprocess), device),
        "quick_gelu": _has_quick_gelu(model) if backbone.library == "open_clip" else None,
    }
    network = Network(model, method, preprocess, torch.float32)
    told = (f"weights of '{weights.name}': {taken}",) if weights and taken else ()
    notes = (*remarks, *told, *_carried_notes(backbone, carried, weights))
    return Encoder(model, method, preprocess, device, provenance, PLAIN, network, notes)


def _assembled(backbone: Backbone, settings: ExtractSettings, weights: Path | None, device: torch.device) -> Encoder:
    """An encoder of a library whose models say all that is needed (:class:`.loaded.Loaded`)."""
    with library_remarks() as remarks:
        loaded = LOADERS[backbone.library](backbone, settings, weights)
    model = lay_channels_last(loaded.model.eval().requires_grad_(False).to(device))
    windows = None
    if loaded.window:
        windows = Windowing(loaded.window, settings.hop or loaded.window, pads=settings.incomplete == "pad")
    described = {"windows": None if windows is None else windows.describe(), **loaded.described}
    provenance = {**_provenance(backbone, settings, weights, loaded, device), "quick_gelu": None, **described}
    network = Network(model, "forward", loaded.preprocess, torch.float32)
    told = (f"weights of '{weights.name}': {loaded.taken}",) if weights and loaded.taken else ()
    return Encoder(model, "forward", loaded.preprocess, device, provenance, PLAIN, network, (*remarks, *told), windows)


def _provenance(
    backbone: Backbone, settings: ExtractSettings, weights: Path | None, loaded: Loaded, device: torch.device
) -> dict[str, Any]:
    """What is needed to make the same encoder again, as far as all libraries say it."""
    return {
        "backbone": str(backbone),
        "weights_sha256": _weights_digest(loaded.model),
        "weights": weights.name if weights else _whence(backbone),
        "seed": settings.seed if backbone.library == "random" else None,
        "preprocess": loaded.preprocess.describe(),
        "pixels": pixels_on(device),
        "features": loaded.features,
        "settings": settings.identity(),
        "decoder": {name: ".".join(map(str, parts)) for name, parts in sorted(av.library_versions.items())},
        "versions": {name: version(name) for name in (*PACKAGES, *loaded.packages)},
    }


def check_name(backbone: Backbone, *, with_weights: bool) -> None:
    """Refuse a backbone that its library does not know, naming the nearest it does.

    Raises:
        BackboneError: if the name, or the tag, is unknown (open_clip's must be known beside ``weights`` too), or
            there are no weights of that name.
    """
    if backbone.library in CHECKS:
        CHECKS[backbone.library](backbone)
        return
    if backbone.name.startswith(("hf-hub:", "hf_hub:", "local-dir:")):
        return
    if backbone.library == "open_clip":
        import open_clip  # which takes as long to import as torch, where transformers is installed

        _check_known(str(backbone), backbone.name, open_clip.list_models())
        if backbone.tag or not with_weights:
            tags = open_clip.list_pretrained_tags_by_model(backbone.name)
            _check_known(str(backbone), backbone.tag, tags, "pre-training")
        return
    plain, _, tag = backbone.name.partition(".")
    _check_known(str(backbone), plain, timm.list_models())
    if with_weights or backbone.library != "timm":
        return
    if tag:
        known = [name.partition(".")[2] for name in timm.list_pretrained(f"{plain}.*")]
        _check_known(str(backbone), tag, known, "pre-training")
    elif not timm.is_model_pretrained(plain):
        raise BackboneError(
            f"extract.backbone = '{backbone}': timm has no weights for {plain}: give a file with --weights, or take "
            f"random:{plain}, which is untrained"
        )


def pixels_on(device: torch.device) -> dict[str, Any]:
    """What decides the last bits of pixels: who resizes them, in what arithmetic, and of which colours."""
    resize = {"resize": RESIZE} if device.type == "cuda" else {}
    return {"device": "cuda" if device.type == "cuda" else "cpu", "colours": COLOURS, **resize}


# Model, method, preprocessing, and what was taken of a file of weights where that is not simply all of it.
Made = tuple[nn.Module, str, Preprocess, str]


def _make_timm(backbone: Backbone, settings: ExtractSettings, weights: Path | None) -> Made:
    size, taken = settings.image_size, ""
    with hub_access(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        try:
            if weights is not None:
                model, fit = load_timm(backbone.name, str(backbone), weights, size)
                taken = fit.told()
            else:
                model = timm.create_model(backbone.name, pretrained=backbone.library == "timm", num_classes=0)
        except (OSError, RuntimeError, ValueError) as error:
            raise _unavailable(backbone, error) from error
    if size and hasattr(model, "set_input_size"):
        model.set_input_size(img_size=(size, size))
    config = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
    return model, "forward", timm_preprocess(config, size), taken


def _make_open_clip(
    backbone: Backbone, settings: ExtractSettings, weights: Path | None, carried: Carried | None
) -> Made:
    from .open_clip_models import create, find_recipe, fitted_to_size, set_size

    size, from_file = settings.image_size, weights is not None
    recipe = find_recipe(backbone, carried, from_file=from_file)
    with hub_access(), torch.random.fork_rng(devices=[]):
        try:
            model = create(backbone, recipe, size, from_file=from_file)
        except (OSError, RuntimeError, ValueError) as error:
            raise _unavailable(backbone, error) from error
    taken = ""
    if weights is not None:
        convert = partial(fitted_to_size, image_size=size)
        fit = fit_weights(read_weights(weights), Taker(model, str(backbone), convert=convert), weights)
        load_fit(model, fit)
        set_size(model, size)
        taken = fit.told()
    return model, "encode_image", open_clip_preprocess(model.visual.preprocess_cfg), taken


def _has_quick_gelu(model: nn.Module) -> bool:
    from .open_clip_models import has_quick_gelu

    return has_quick_gelu(model)


def _check_known(backbone: str, name: str, known: list[str], what: str = "name") -> None:
    if name in known:
        return
    near = get_close_matches(name, known, 3, 0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else f"; known: {', '.join(known[:8]) or 'none'}"
    raise BackboneError(f"extract.backbone = {backbone!r}: unknown {what} {name!r}{hint}")


def _unavailable(backbone: Backbone, error: Exception) -> BackboneError | StageError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    first = lines[0]
    if backbone.name.startswith("local-dir:") or "loading state_dict" in first:  # no connection would help
        return BackboneError(f"extract.backbone = '{backbone}' cannot be loaded: {' '.join(lines[:2])}")
    return StageError(
        f"the weights of {backbone} could not be had from the model hub: {first} Connect once (they are kept in "
        "the hub's cache), or give a local file: mofore init --force --backbone NAME --weights FILE, or extract.weights"
    )


def _whence(backbone: Backbone) -> str:
    if backbone.library == "random":
        return "random"
    if backbone.library == "python":
        return "of the module"
    return "folder" if backbone.name.startswith(("local-dir:", "/", ".", "~")) else "hub"


def _carried_notes(backbone: Backbone, carried: Carried | None, weights: Path | None) -> tuple[str, ...]:
    """Whether the weights were tuned in an encoder of another name."""
    if carried is None or weights is None or carried.backbone.startswith(str(backbone)):
        return ()
    return (f"'{weights.name}' was tuned from {carried.backbone}: its preprocessing is taken, not that of {backbone}",)


def _weights_digest(model: nn.Module) -> str:
    """sha256 over names and values, the same for the same weights in whatever file."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
