"""Image files of each kind against Pillow: which way up, and which pixels."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from mofore.data.decode import decode, picture
from mofore.data.errors import VideoError
from mofore.data.planes import plane_layout

ORIENTATION = 0x0112


def waves() -> Image.Image:
    """A smooth picture, 60 x 90, that looks different whichever way it is turned or mirrored."""
    y, x = np.mgrid[:60, :90]
    levels = np.stack([40 + 2 * x, 30 + 3 * y, 60 + x + y], axis=-1).clip(0, 255).astype(np.uint8)
    return Image.fromarray(levels)


def seen_by_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)


FORMATS: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 95, "subsampling": 0},
    ".png": {},
    ".webp": {"lossless": True},
    ".tif": {},
    ".tiff": {"compression": "jpeg", "quality": 95},
}


@pytest.mark.parametrize(
    ("suffix", "number"),
    [
        (suffix, n) for suffix in FORMATS for n in range(10) if suffix != ".tiff" or 0 < n < 9
    ],  # libtiff writes no others
)
def test_every_exif_orientation_is_set_upright_as_pillow_does_it(suffix: str, number: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = number  # 0 and 9 mean nothing
    for name in ("1", "2"):
        waves().save(tmp_path / f"{name}{suffix}", exif=exif, **FORMATS[suffix])
    expected = seen_by_pillow(tmp_path / f"1{suffix}")
    assert expected.shape == ((90, 60, 3) if number in (5, 6, 7, 8) else (60, 90, 3))
    assert np.abs(picture(tmp_path / f"1{suffix}") - expected).max() <= 3


def test_an_orientation_in_xmp_counts_as_in_pillow(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    waves().save(tmp_path / "a.jpg", xmp=xmp, quality=95, subsampling=0)
    said = PngInfo()
    said.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
    waves().save(tmp_path / "b.png", pnginfo=said)
    for name in ("a.jpg", "b.png"):
        expected = seen_by_pillow(tmp_path / name)
        assert expected.shape == (90, 60, 3)
        assert np.abs(picture(tmp_path / name) - expected).max() <= 3


def test_exif_that_is_nonsense_leaves_the_picture_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    waves().save(path, exif=b"Exif\0\0" + b"nonsense" * 3, quality=95, subsampling=0)
    assert np.abs(picture(path) - np.asarray(waves()).astype(int)).max() <= 5


def test_a_turned_image_does_not_travel_as_planes(tmp_path: Path) -> None:
    exif = Image.Exif()
    for number, travels in ((1, True), (2, False), (4, False), (6, False)):
        exif[ORIENTATION] = number
        for name in ("1", "2"):
            waves().save(tmp_path / f"{name}.jpg", exif=exif, quality=95)
        assert [plane_layout(frame) is not None for frame, _ in decode(tmp_path)] == [travels] * 2


def with_alpha() -> Image.Image:
    image = waves().convert("RGBA")
    image.putalpha(waves().convert("L"))
    return image


def deep() -> Image.Image:
    return Image.fromarray(np.asarray(waves().convert("L")).astype(np.uint16) * 257)


PICTURES: dict[str, tuple[Image.Image, dict[str, Any]]] = {
    "rgb.png": (waves(), {}),
    "gray.png": (waves().convert("L"), {}),
    "palette.png": (waves().quantize(64), {}),
    "see-through palette.png": (waves().quantize(64), {"transparency": 3}),
    "alpha.png": (with_alpha(), {}),
    "gray and alpha.png": (with_alpha().convert("LA"), {}),
    "black and white.png": (waves().convert("1"), {}),
    "moving.png": (waves(), {"save_all": True, "append_images": [ImageOps.flip(waves())]}),
    "444.jpg": (waves(), {"quality": 95, "subsampling": 0}),
    "422.jpg": (waves(), {"quality": 95, "subsampling": 1}),
    "420.jpg": (waves(), {"quality": 95, "subsampling": 2}),
    "progressive.jpg": (waves(), {"quality": 95, "subsampling": 0, "progressive": True}),
    "rgb.jpg": (waves(), {"quality": 95, "keep_rgb": True}),
    "gray.jpg": (waves().convert("L"), {"quality": 95}),
    "cmyk.jpg": (waves().convert("CMYK"), {"quality": 95}),
    "lossless.webp": (waves(), {"lossless": True}),
    "lossy.webp": (waves(), {"quality": 95}),
    "alpha.webp": (with_alpha(), {"lossless": True, "exact": True}),
    "moving.webp": (waves(), {"lossless": True, "save_all": True, "append_images": [ImageOps.flip(waves())]}),
    "rgb.tif": (waves(), {}),
    "lzw.tif": (waves(), {"compression": "tiff_lzw"}),
    "jpeg.tif": (waves(), {"compression": "jpeg"}),
    "jpeg, gray.tif": (waves().convert("L"), {"compression": "jpeg"}),
    "jpeg, ycbcr.tif": (waves().convert("YCbCr"), {"compression": "jpeg"}),
    "ycbcr.tif": (waves().convert("YCbCr"), {"compression": "tiff_lzw"}),
    "gray.tif": (waves().convert("L"), {}),
    "cmyk.tif": (waves().convert("CMYK"), {}),
    "palette.tif": (waves().quantize(64), {}),
    "moving.tif": (waves(), {"save_all": True, "append_images": [ImageOps.flip(waves())]}),
    "rgb.bmp": (waves(), {}),
    "palette.bmp": (waves().quantize(64), {}),
    "rgb.ppm": (waves(), {}),
}
# Chroma of half the size is interpolated by libjpeg and libwebp, repeated by swscale, which also rounds down.
WITHIN = {"444.jpg": 3, "progressive.jpg": 3, "422.jpg": 6, "420.jpg": 8, "lossy.webp": 8}


@pytest.mark.parametrize("name", PICTURES)
def test_images_have_the_pixels_that_pillow_sees(name: str, tmp_path: Path) -> None:
    image, options = PICTURES[name]
    image.save(tmp_path / name, **options)
    differences = np.abs(picture(tmp_path / name) - seen_by_pillow(tmp_path / name))
    assert differences.max() <= WITHIN.get(name, 2)
    assert differences.mean() <= (2.5 if WITHIN.get(name, 0) > 3 else 1.1)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_gray_of_16_bits_is_brought_to_8(suffix: str, tmp_path: Path) -> None:
    deep().save(tmp_path / f"deep{suffix}")
    expected = np.asarray(waves().convert("L")).astype(int)[:, :, None]
    assert np.abs(picture(tmp_path / f"deep{suffix}") - expected).max() <= 1


@pytest.mark.parametrize("name", ["jpeg.tif", "moving.webp"])
def test_half_of_an_image_that_pillow_reads_is_not_taken_for_a_picture(name: str, tmp_path: Path) -> None:
    image, options = PICTURES[name]
    content = io.BytesIO()
    image.save(content, {".tif": "TIFF", ".webp": "WEBP"}[Path(name).suffix], **options)
    (tmp_path / name).write_bytes(content.getvalue()[: content.tell() // 2])
    with pytest.raises(VideoError, match=f"image '{name}' is not readable"):
        picture(tmp_path / name)
