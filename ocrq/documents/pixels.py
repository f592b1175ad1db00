"""Any Pillow image to 8-bit RGB: engines fail without a word on CMYK, 16-bit and palette images."""

from __future__ import annotations

import math

from PIL import Image, ImageChops, ImageOps

_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def to_rgb(image: Image.Image, *, inverted: bool = False) -> Image.Image:
    """The image as RGB on white; `inverted` says that its samples count from white to black (deep modes, CMYK)."""
    if image.mode in _DEEP_MODES:
        image = _to_grey(image)
        if inverted:
            image = ImageChops.invert(image)
    elif image.mode == "CMYK" and inverted:
        image = ImageChops.invert(image)
    elif image.mode == "LAB":
        # Pillow converts Lab only through colour profiles. Its lightness is what is read.
        image = image.getchannel("L")
    if image.has_transparency_data:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def turn_upright(image: Image.Image) -> tuple[str, ...]:
    """Turn the image, in place, as its EXIF data say; returns a warning when these cannot be read."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # a parser of untrusted bytes: whatever it raises, the pixels are good all the same
        return ("the EXIF data cannot be read; the page is taken as it is stored",)
    return ()


def _to_grey(image: Image.Image) -> Image.Image:
    """Samples of 16 or 32 bits to 8: by the number of bits in use where they are counts, else by their range."""
    low, high = (float(value) for value in image.getextrema())  # type: ignore[arg-type]  # one band, so two numbers
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = 0.0, 1.0
    if image.mode == "F" and low >= 0 and high <= 1:
        top = 1.0
    elif low >= 0:
        # 12-bit scanners store 0..4095 in 16 bits, and some programs 0..255.
        top = float(2 ** max(8, math.ceil(high).bit_length()) - 1)
    else:
        top = high
    low = min(low, 0.0)
    scale = 255.0 / max(top - low, 1e-9)
    offset = -low * scale
    if image.mode.startswith("I;16"):
        image = image.convert("I")
    return image.point(lambda value: value * scale + offset).convert("L")


def _on_white(image: Image.Image) -> Image.Image:
    layered = image.convert("RGBA")
    page = Image.new("RGB", layered.size, "white")
    page.paste(layered, mask=layered.getchannel("A"))
    layered.close()
    return page
