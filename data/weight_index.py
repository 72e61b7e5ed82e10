"""An index of weights that lie in several files, as Hugging Face writes it: which file holds which tensor."""

from __future__ import annotations

import json
from pathlib import Path

from .errors import BackboneError

SUFFIX = ".index.json"
# Of a folder as transformers writes it, what decides features; the first kind of weights that is there is read.
DESCRIBING = ("config.json", "preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def is_index(path: Path) -> bool:
    """Whether ``path`` is named as an index (`model.safetensors.index.json`, `pytorch_model.bin.index.json`)."""
    return path.name.endswith(SUFFIX)


def weight_files(path: Path) -> tuple[Path, ...]:
    """The files that weights at ``path`` are made of: itself, those beside an index, or a folder's, sorted.

    Raises:
        BackboneError: if an index is none, or a file that it names is not beside it, or a folder holds no model.
    """
    if path.is_dir():
        return _files_of_folder(path)
    if not is_index(path):
        return (path,)
    try:
        names = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
    except OSError as error:
        raise BackboneError(f"extract.weights = '{path}' cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BackboneError(
            f"extract.weights = '{path}' is no index of weights: a 'weight_map' from tensors to files is needed"
        ) from error
    files = tuple(path.parent / Path(str(name)).name for name in names)
    absent = [file.name for file in files if not file.is_file()]
    if absent or not files:
        raise BackboneError(
            f"extract.weights = '{path}' names {len(files)} files, of which {len(absent)} are not beside it "
            f"(first: {absent[0] if absent else 'none'}): put the index and all of its files into one folder"
        )
    return files


def _files_of_folder(folder: Path) -> tuple[Path, ...]:
    described = [folder / name for name in DESCRIBING if (folder / name).is_file()]
    weights = next((found for pattern in WEIGHTS if (found := sorted(folder.glob(pattern)))), [])
    if not (folder / "config.json").is_file() or not weights:
        raise BackboneError(
            f"'{folder}' holds no model as transformers writes it: config.json and model.safetensors (or "
            "pytorch_model.bin) are needed, and beside them preprocessor_config.json or video_preprocessor_config.json"
        )
    return (*described, *weights)
