"""Arrays of pictures and labels from an .npz file, of which nothing is believed before it is checked."""

from __future__ import annotations

import functools
import lzma
import threading
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from qexplore.errors import foreign
from qexplore.zoo.albums import Album, Albums, Opened, digest_of
from qexplore.zoo.errors import BadData
from qexplore.zoo.image_files import NO_FILE, told
from qexplore.zoo.preprocessing import IGNORED, LARGEST_PICTURE

LARGEST_ARRAY = 2 * 2**30  # bytes, unpacked
LARGEST_HEADER = 10_000  # bytes
MOST_ENTRIES = 64
PAIRS = (("x", "y"), ("images", "labels"))
TRAIN_TEST = ("x_train", "y_train", "x_test", "y_test")
_FORMS = "uint8 [N, H, W], [N, H, W, 3] or [N, 3, H, W]"
# What zipfile, its decompressors and numpy raise at bytes that are damaged or not what they say.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    MemoryError,
)


@dataclass(frozen=True)
class _Form:
    shape: tuple[int, ...]
    dtype: np.dtype


class NpzFile:
    """The arrays of one file; headers are read and judged before any array is."""

    def __init__(self, path: Path) -> None:
        self.path, self.shown = path, told(path)
        self.forms = self._headers()

    def array(self, name: str) -> np.ndarray:
        """The array `name`; BadData where it is broken."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{name}.npy") as file:
                found: np.ndarray = np.lib.format.read_array(file, allow_pickle=False, max_header_size=LARGEST_HEADER)
                return found
        except _DAMAGED as problem:
            raise BadData(f"The array {name!r} of {self.shown} cannot be read: {_line(problem)}.") from None

    def _headers(self) -> dict[str, _Form]:
        try:
            if self.path.exists() and not self.path.is_file():  # reading a device or a pipe may never end
                raise ValueError(f"it is {NO_FILE}")
            with zipfile.ZipFile(self.path) as archive:
                entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
                if len(entries) > MOST_ENTRIES:
                    raise BadData(f"{self.shown} holds {len(entries)} arrays, more than {MOST_ENTRIES}.")
                return {entry.filename.removesuffix(".npy"): self._header(archive, entry) for entry in entries}
        except _DAMAGED as problem:
            if isinstance(problem, BadData):
                raise
            raise BadData(f"{self.shown} is no .npz file that can be read: {_line(problem)}.") from None

    def _header(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> _Form:
        name = foreign(entry.filename)
        with archive.open(entry) as file:
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if version not in read:
                raise BadData(f"The array {name!r} of {self.shown} has format {version}; save it anew.")
            shape, _, dtype = read[version](file, max_header_size=LARGEST_HEADER)
        if dtype.hasobject:
            raise BadData(f"The array {name!r} of {self.shown} holds pickled objects, never read here; save numbers.")
        if min(shape, default=0) < 0:
            raise BadData(f"The array {name!r} of {self.shown} has the shape {list(shape)}; save it anew.")
        size = dtype.itemsize * functools.reduce(lambda a, b: a * b, shape, 1)
        if max(size, entry.file_size) > LARGEST_ARRAY:
            raise BadData(
                f"The array {name!r} of {self.shown} unpacks to {max(size, entry.file_size):,} bytes, more "
                f"than {LARGEST_ARRAY:,}; use a folder of pictures."
            )
        return _Form(shape, dtype)


def npz_arrays(path: Path) -> tuple[NpzFile, tuple[str, str], tuple[str, str] | None]:
    """The file, and the names of its pictures and labels: to train and to test, or of one pool."""
    file = NpzFile(path)
    if set(TRAIN_TEST) <= file.forms.keys():
        return file, (TRAIN_TEST[0], TRAIN_TEST[1]), (TRAIN_TEST[2], TRAIN_TEST[3])
    for pair in PAIRS:
        if set(pair) <= file.forms.keys():
            return file, pair, None
    names = ", ".join(map(foreign, sorted(file.forms)[:8])) or "no arrays"
    raise BadData(
        f"{file.shown} holds {names}; name the arrays x and y, images and labels, or {', '.join(TRAIN_TEST)}."
    )


def npz_labels(file: NpzFile, name: str, images: str) -> np.ndarray:
    """Labels [N] int64, one for each of the pictures `images`; or masks [N, H, W]."""
    if not file.forms[images].shape:
        raise _unfit(file, images)
    labels = file.array(name)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "iu" or labels.ndim not in (1, 3) or len(labels) != file.forms[images].shape[0]:
        raise BadData(
            f"The array {name!r} of {file.shown} is {labels.dtype} {list(labels.shape)}; give one whole class number "
            f"for each of the {file.forms[images].shape[0]} pictures."
        )
    if labels.ndim == 3 and not 0 <= labels.min(initial=0) <= labels.max(initial=0) <= IGNORED:
        raise BadData(f"The masks {name!r} of {file.shown} hold numbers outside 0 to {IGNORED}.")
    if len(labels) == 0:
        raise BadData(f"The array {images!r} of {file.shown} holds zero pictures; give at least one.")
    return labels.astype(np.int64) if labels.ndim == 1 else labels


def npz_albums(path: Path, channels: int, classes: int | None) -> Albums:
    """The uint8 pictures of the file; for a network with pictures of `channels` channels and `classes` outputs."""
    file, first, test = npz_arrays(path)
    made = [_album(file, pair, channels, classes) for pair in (first, test) if pair is not None]
    return Albums(made[0], made[1] if test else None, None)


def _album(file: NpzFile, pair: tuple[str, str], channels: int, classes: int | None) -> Album:
    images, form = pair[0], file.forms[pair[0]]
    if form.dtype != np.uint8 or len(form.shape) not in (3, 4):
        raise _unfit(file, images)
    _require_channels(file, images, form, channels)
    labels = npz_labels(file, pair[1], images)
    masks = labels.ndim == 3
    opener = _opener(file, images, labels if masks else None)
    digest = digest_of([str(file.path)]) + images
    names = _Numbered(f"{file.shown}: {images}", len(labels))
    return Album(
        file.shown, digest, np.zeros(len(labels), np.int64) if masks else labels, names, opener, masks, classes
    )


def _unfit(file: NpzFile, images: str) -> BadData:
    form = file.forms[images]
    return BadData(
        f"The array {images!r} of {file.shown} is {form.dtype} {list(form.shape)}; give pictures as {_FORMS}, "
        "or ready inputs as float32 [N, C, H, W]."
    )


def _require_channels(file: NpzFile, images: str, form: _Form, channels: int) -> None:
    found = 1 if len(form.shape) == 3 else form.shape[_channel_axis(form.shape)]
    if found not in (1, 3) or 0 in form.shape[1:]:
        raise BadData(f"The pictures {images!r} of {file.shown} are {list(form.shape)}; give {_FORMS}.")
    if found == 1 and channels == 3:
        raise BadData(
            f"The pictures {images!r} of {file.shown} have 1 channel, the network takes RGB pictures, 3 channels; "
            "repeat the channel before saving."
        )
    if form.shape[1] * form.shape[2] > LARGEST_PICTURE:
        raise BadData(f"The pictures {images!r} of {file.shown} have more than {LARGEST_PICTURE:,} pixels.")


def _opener(file: NpzFile, images: str, masks: np.ndarray | None) -> Callable[[int], Opened]:
    pixels = _Pixels(file, images)

    def opener(place: int) -> Opened:
        mask = None if masks is None else Image.fromarray(masks[place].astype(np.uint8))
        return Image.fromarray(np.ascontiguousarray(pixels()[place])), mask

    return opener


class _Pixels:
    """Pictures [N, H, W] or [N, H, W, 3]: the array is read once, by the thread that needs it first, or failed once."""

    def __init__(self, file: NpzFile, name: str) -> None:
        self._file, self._name, self._lock = file, name, threading.Lock()
        self._found: np.ndarray | None = None
        self._trouble = ""

    def __call__(self) -> np.ndarray:
        with self._lock:
            if self._found is None and not self._trouble:
                try:
                    self._found = self._read()
                except BadData as problem:
                    self._trouble = str(problem)
        if self._found is None:
            raise BadData(self._trouble)
        return self._found

    def _read(self) -> np.ndarray:
        array = self._file.array(self._name)
        channels_last = array.ndim == 3 or _channel_axis(array.shape) == 3
        array = array if channels_last else array.transpose(0, 2, 3, 1)
        return array[..., 0] if array.shape[3:] == (1,) else array


def _channel_axis(shape: tuple[int, ...]) -> int:
    return 3 if shape[3] in (1, 3) else 1


def _line(problem: Exception) -> str:
    return told(" ".join(str(problem)[:400].split())[:200].rstrip(".") or type(problem).__name__)


class _Numbered(Sequence[str]):
    def __init__(self, title: str, count: int) -> None:
        self._title, self._count = title, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return f"{self._title}[{index}]"
