"""open_clip's models, built and preprocessed as their weights were trained.

A model's name says how many layers it has of which width. What activation they have, and what a picture goes through
before them, is said by the pre-training: by the tag, by a repository's own configuration, or by tuned weights
themselves. open_clip takes a tag's word for the preprocessing of the weights that it fetches; not for the activation,
of which it warns and builds the model's default, and for weights from a file it knows no tag.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import open_clip
from open_clip.factory import get_model_config
from open_clip.model import resize_pos_embed, resize_text_pos_embed
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from open_clip.transformer import QuickGELU
from torch import Tensor, nn

from ...data.backbone import Backbone
from ...data.errors import BackboneError
from .tuned_weights import Carried

PLACES = ("hf-hub:", "local-dir:")  # names that lead to a configuration of their own
INSTALL_TEXT = "pip install 'mofore[text]'"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What weights were trained with."""

    # by open_clip's names: mean, std, interpolation, resize_mode; what is left out is as OpenAI's
    preprocess: Mapping[str, Any]
    quick_gelu: bool  # whether the activation is x * sigmoid(1.702 x) in place of the exact GELU

    def says(self) -> dict[str, str]:
        """For messages, by what can differ."""
        lines = {name: f"{name} {value}" for name, value in sorted(self.preprocess.items())}
        return {"activation": "QuickGELU" if self.quick_gelu else "GELU", **lines}


def find_recipe(backbone: Backbone, carried: Carried | None, *, from_file: bool) -> Recipe | None:
    """How the weights of a backbone were trained; None if its place (hub or folder) has a configuration that says so.

    Args:
        backbone: of open_clip.
        carried: what a file of tuned weights says itself.
        from_file: whether the weights are given as a file, for which the tag may be left out.

    Raises:
        BackboneError: if there is no tag, and the model's pre-trainings differ.
    """
    if carried is not None and carried.quick_gelu is not None:
        made = carried.preprocess
        shown = {"mean": made.mean, "std": made.std, "interpolation": made.interpolation, "resize_mode": made.fit}
        return Recipe({**shown, "fill_color": made.fill[0]}, carried.quick_gelu)
    if backbone.name.startswith(PLACES):
        return None
    if backbone.tag or not from_file:
        return recipe_of_tag(backbone.name, backbone.tag)
    return _agreed(backbone)


def recipe_of_tag(name: str, tag: str) -> Recipe:
    """What open_clip's registry says of a pre-training; its model's configuration, where it says nothing."""
    said, own = open_clip.get_pretrained_cfg(name, tag), model_config(name)
    preprocess = merge_preprocess_dict(PreprocessCfg(), said)
    preprocess.pop("size")  # the model's
    return Recipe(preprocess, bool(said.get("quick_gelu", own.get("quick_gelu", False))))


def create(backbone: Backbone, recipe: Recipe | None, image_size: int, *, from_file: bool) -> Any:
    """The model, with the weights of its pre-training, or without where they come ``from_file``.

    Raises:
        BackboneError: if it cannot see pictures of this size, or needs a package that is not installed.
        OSError: if its configuration or weights cannot be had; RuntimeError and ValueError alike.
    """
    config = model_config(backbone.name)
    _refuse(backbone, config, image_size)
    options: dict[str, Any] = {}
    if recipe is not None:
        options = {"force_preprocess_cfg": dict(recipe.preprocess), "force_quick_gelu": recipe.quick_gelu}
    if recipe is not None and not recipe.quick_gelu:
        options["quick_gelu"] = False  # where the model's configuration has it, which `force` does not undo
    if not from_file:
        tag = None if backbone.name.startswith(PLACES) else backbone.tag
        return open_clip.create_model(
            backbone.name, pretrained=tag, require_pretrained=True, force_image_size=image_size or None, **options
        )
    # A timm tower takes its size after its weights. `pretrained_hf`: no base weights for a text tower either.
    size = None if config.get("vision_cfg", {}).get("timm_model_name") else image_size or None
    return open_clip.create_model(backbone.name, pretrained=None, pretrained_hf=False, force_image_size=size, **options)


def fitted_to_size(state: dict[str, Tensor], model: Any, image_size: int) -> dict[str, Tensor]:
    """Weights whose positions are resampled to the model's where ``image_size`` asks for another size than theirs.

    What open_clip's loader does by itself. A timm tower is resampled after loading, by :func:`set_size`; here it is
    brought to the size of weights that were tuned at it.
    """
    if not image_size:
        return state
    if hasattr(model.visual, "trunk"):
        if _misfit(state, model.visual):
            set_size(model, image_size)
        return state
    fitted = dict(state)
    try:
        resize_pos_embed(fitted, model)
        resize_text_pos_embed(fitted, model)
    except (RuntimeError, AssertionError, AttributeError):  # another model's: the loader says so
        return state
    return fitted


def set_size(model: Any, image_size: int) -> None:
    """Let a timm tower that has its weights see pictures of this size, as open_clip's factory does."""
    if image_size and hasattr(model.visual, "trunk"):
        model.visual.set_input_size(image_size)
        model.visual.preprocess_cfg["size"] = model.visual.image_size


def model_config(name: str) -> dict[str, Any]:
    """What open_clip's registry, a hub or a folder says of the layers; empty for an unknown name."""
    return get_model_config(name) or {}


def has_quick_gelu(model: nn.Module) -> bool:
    """What was built, whoever asked for it."""
    return any(isinstance(module, QuickGELU) for module in model.modules())


def _agreed(backbone: Backbone) -> Recipe:
    """What all pre-trainings of a model say; OpenAI's preprocessing, which is open_clip's default, if it has none.

    Raises:
        BackboneError: if they differ, for a file does not say which of them it is of.
    """
    by_tag = {tag: recipe_of_tag(backbone.name, tag) for tag in open_clip.list_pretrained_tags_by_model(backbone.name)}
    said = [recipe.says() for recipe in by_tag.values()]
    differing = [name for name in (said[0] if said else ()) if len({one.get(name) for one in said}) > 1]
    if not differing:
        return next(iter(by_tag.values()), recipe_of_tag(backbone.name, ""))
    groups: dict[str, list[str]] = defaultdict(list)
    for tag, one in zip(by_tag, said, strict=True):
        groups[", ".join(one[name] for name in differing)].append(tag)
    listed = "; ".join(f"{what}: {', '.join(tags)}" for what, tags in groups.items())
    raise BackboneError(
        f"extract.backbone = '{backbone}' with extract.weights: which pre-training the file is of decides how the "
        f"model is built and its pictures prepared, and cannot be guessed ({listed}): write {backbone}/TAG, with the "
        "tag that the weights are of, or were trained like"
    )


def _refuse(backbone: Backbone, config: Mapping[str, Any], image_size: int) -> None:
    """What cannot be built, before anything is fetched."""
    vision, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
    if isinstance(vision.get("layers"), list | tuple) and image_size not in (0, vision.get("image_size", 224)):
        raise BackboneError(
            f"extract.image_size = {image_size}: the attention pool of {backbone} is made for "
            f"{vision.get('image_size', 224)} pixels alone: leave extract.image_size at 0"
        )
    if text.get("hf_model_name") and find_spec("transformers") is None:
        raise BackboneError(f"{backbone} is built with the package transformers, which is missing: {INSTALL_TEXT}")


def _misfit(state: Mapping[str, Tensor], tower: nn.Module) -> bool:
    own = tower.state_dict()
    given = {name: state.get(f"visual.{name}") for name in own}
    return any(tensor is not None and tensor.shape != own[name].shape for name, tensor in given.items())
