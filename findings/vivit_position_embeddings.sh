#!/usr/bin/env bash
# transformers 5.24.0: ViViT takes pictures of its own size alone, whatever `interpolate_pos_encoding` says.
#
# `VivitModel(interpolate_pos_encoding=True)` is documented to resample positions for pictures of another size. Whether to
# do so is decided by comparing the number of patches that the model was made for with its number of positions, which are
# always equal, and height with width: so for every square picture the positions are left as they are, and the sum fails.
# A picture that is not square fails in the resampling, which takes the positions of all times for those of one picture.
#
# Exit code 0 while this is so.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.24.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import torch
import transformers

config = transformers.VivitConfig(
    image_size=32, num_frames=4, tubelet_size=[2, 8, 8], hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=32,
)
model = transformers.VivitModel(config, add_pooling_layer=False).eval()


def seen(height, width):
    with torch.inference_mode():
        try:
            found = model(torch.zeros(1, 4, 3, height, width), interpolate_pos_encoding=True)
        except RuntimeError as error:
            return f"RuntimeError: {error}"
    return tuple(found.last_hidden_state.shape)


own, square, oblong = seen(32, 32), seen(48, 48), seen(48, 64)
print("transformers", transformers.__version__, "32 x 32:", own, "48 x 48:", square, "48 x 64:", oblong)
assert own == (1, 33, 16)
assert isinstance(square, str) and "must match" in square, "square pictures of another size are taken now"
assert isinstance(oblong, str) and "invalid for input" in oblong, "pictures that are not square are taken now"
PYTHON
