"""What becomes of a picture before a network sees it: plain data, and the two functions that carry it out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qexplore.zoo.errors import BadData

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

Size = int | tuple[int, int] | None
INTERPOLATIONS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
LARGEST_SIDE = 4096
LARGEST_PICTURE = 50_000_000  # pixels: three bytes each, one picture a thread
IGNORED = 255  # the class number of pixels that no metric counts


@dataclass(frozen=True)
class Preprocessing:
    """Mode, size and normalization of a network's pictures, as torchvision's presets carry them out.

    channels: 1 (grey) or 3 (RGB). resize: length of the shorter side, or (height, width); None leaves it.
    crop: side of the centre that is cut out, or (height, width); smaller pictures get black borders; None leaves it.
    mean, std: of each channel, in units of the full scale: x / 255 becomes (x / 255 - mean) / std.
    Raises BadData where the values contradict each other.
    """

    channels: int
    resize: Size
    crop: Size
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise BadData(f"A picture has 1 or 3 channels, not {self.channels!r}.")
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise BadData(f"The mean and the standard deviation need {self.channels} numbers each, one a channel.")
        if not all(math.isfinite(number) for number in (*self.mean, *self.std)) or min(self.std) <= 0:
            raise BadData("The mean and the standard deviation are finite numbers, the latter above zero.")
        if self.interpolation not in INTERPOLATIONS:
            raise BadData(f"There is no interpolation {self.interpolation!r}; known: {', '.join(INTERPOLATIONS)}.")
        for what, size in (("resize", self.resize), ("crop", self.crop)):
            if size is not None and not _is_size(size):
                raise BadData(f"{what} is {size!r}; give a side or (height, width) of 1 to {LARGEST_SIDE} pixels.")

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) that all pictures have afterwards; None where it is theirs."""
        if self.crop is not None:
            return _both(self.crop)
        return self.resize if isinstance(self.resize, tuple) else None

    @property
    def interval(self) -> tuple[float, float]:
        """Least and greatest value that a normalized picture can have, as float32 rounds them."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return float(((np.float32(0) - mean) / std).min()), float(((np.float32(1) - mean) / std).max())

    def decode(self, picture: Image) -> Tensor:
        """The picture as uint8 [C, H, W], converted, resized with antialias and cut; not yet normalized.

        ValueError for one of numbers whose white is not known, or so narrow that resized it is too large.
        """
        from torchvision.transforms import InterpolationMode, functional

        picture = _converted(picture, self.channels)
        if self.resize is not None:
            size = self._resized(picture)
            picture = functional.resize(picture, size, InterpolationMode(self.interpolation), antialias=True)
        if self.crop is not None:
            picture = functional.center_crop(picture, list(_both(self.crop)))
        pixels: Tensor = functional.pil_to_tensor(picture)
        return pixels

    def decode_mask(self, mask: Image) -> Tensor:
        """Class numbers of the pixels, uint8 [H, W], sized and cut as the picture is; borders are IGNORED."""
        from torchvision.transforms import InterpolationMode, functional

        if mask.mode not in ("P", "L", "1"):
            raise BadData(f"a mask has one class number a pixel (modes P, L), not mode {mask.mode}")
        if mask.mode == "1":
            mask = mask.convert("L").point([0, *[1] * 255])  # or borders would be a class: 1 is all that it can hold
        if self.resize is not None:
            mask = functional.resize(mask, self._resized(mask), InterpolationMode.NEAREST)
        if self.crop is not None:
            height, width = _both(self.crop)
            down, right = max(0, height - mask.height), max(0, width - mask.width)
            borders = [right // 2, down // 2, (right + 1) // 2, (down + 1) // 2]
            mask = functional.center_crop(functional.pad(mask, borders, fill=IGNORED), [height, width])
        numbers: Tensor = functional.pil_to_tensor(mask)[0]
        return numbers

    def _resized(self, picture: Image) -> list[int]:
        """What torchvision is told to resize the picture to; ValueError where that is larger than can be held."""
        if not isinstance(self.resize, int):
            assert self.resize is not None
            return list(self.resize)
        long = max(picture.size) * self.resize // max(1, min(picture.size))
        if long * self.resize > LARGEST_PICTURE:
            raise ValueError(
                f"resized from {picture.width} × {picture.height} pixels it has more than {LARGEST_PICTURE:,}"
            )
        return [self.resize]

    def normalize(self, pixels: Tensor) -> Tensor:
        """float32 images from uint8 [N, C, H, W], in the preset's own order of operations."""
        mean, std = (pixels.new_tensor(v, dtype=_float()).view(1, -1, 1, 1) for v in (self.mean, self.std))
        return pixels.float().div_(255).sub_(mean).div_(std)

    def text(self) -> str:
        """One line for people."""
        steps = [f"resized to {_told(self.resize)}"] * (self.resize is not None)
        if self.crop is not None:
            steps.append("centre {} × {}".format(*_both(self.crop)))
        mean, std = (" ".join(f"{number:.4g}" for number in numbers) for numbers in (self.mean, self.std))
        mode = "RGB" if self.channels == 3 else "grey"
        return ", ".join([*(steps or ["size as it is"]), mode, f"mean {mean}", f"std {std}"])

    def to_document(self) -> dict[str, Any]:
        """Plain JSON values, from which `from_document` makes the same preprocessing."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @staticmethod
    def from_document(document: object) -> Preprocessing:
        """The preprocessing that `to_document` wrote down; BadData where it is none."""
        fields = Preprocessing.__dataclass_fields__
        if not isinstance(document, dict) or not document.keys() <= fields.keys():
            raise BadData(f"A preprocessing is written as {{{', '.join(fields)}}}, not as {str(document)[:80]!r}.")
        try:
            values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in document.items()}
            return Preprocessing(**values)
        except TypeError as problem:
            raise BadData(f"The preprocessing {str(document)[:80]!r} cannot be read: {problem}.") from None

    @staticmethod
    def of_torchvision(preset: Any) -> Preprocessing:
        """What torchvision's preset for classification or segmentation does; BadData for any other transform."""
        from torchvision.transforms._presets import ImageClassification, SemanticSegmentation

        if not isinstance(preset, ImageClassification | SemanticSegmentation):
            raise BadData(
                f"The transform '{type(preset).__name__}' is not known; give a Preprocessing(channels, resize, …)."
            )
        return Preprocessing(
            channels=len(preset.mean),
            resize=_of_list(preset.resize_size),
            crop=_of_list(getattr(preset, "crop_size", None)),
            mean=tuple(preset.mean),
            std=tuple(preset.std),
            interpolation=preset.interpolation.value,
        )


def _converted(picture: Image, channels: int) -> Image:
    """Grey or RGB with 8 bits a channel; grey pictures of 16 keep their upper byte, where PIL would cut them off.

    ValueError for floating-point numbers, of which nothing says what is white.
    """
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits a channel")
    if picture.mode.startswith("I"):
        from PIL import Image as pil

        values = np.asarray(picture).astype(np.int64)
        wide = picture.mode != "I" or picture.format == "PPM" or values.max(initial=0) > 255
        picture = pil.fromarray((values >> 8 if wide else values).clip(0, 255).astype(np.uint8))
    return picture.convert("RGB" if channels == 3 else "L")


def _float() -> Any:
    import torch

    return torch.float32


def _is_size(size: object) -> bool:
    sides: Sequence[object] = size if isinstance(size, tuple) else (size,)
    whole = all(isinstance(side, int) and not isinstance(side, bool) and 1 <= side <= LARGEST_SIDE for side in sides)
    return whole and (len(sides) == 2 or not isinstance(size, tuple))


def _both(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _of_list(size: list[int] | None) -> Size:
    if size is None:
        return None
    return size[0] if len(size) == 1 else (size[0], size[1])


def _told(size: Size) -> str:
    return f"{size[0]} × {size[1]}" if isinstance(size, tuple) else str(size)
