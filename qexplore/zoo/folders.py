"""Folders of pictures as albums: a subfolder for each class, or pictures beside masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qexplore.zoo.albums import Album, Albums, Opened, digest_of, file_album, open_file
from qexplore.zoo.errors import BadData
from qexplore.zoo.image_files import (
    IMAGES,
    MASKS,
    Skipped,
    folders_in,
    has_masks,
    is_folder,
    masked_in,
    parts,
    pictures_below,
    require_inside,
    told,
    tree,
)


def folder_albums(folder: Path, classes: int | None) -> Albums:
    """The pictures below `folder`; where it holds images/ and masks/, with their masks.

    classes: outputs of the network.
    """
    if has_masks(folder, folders_in(folder)):
        return _segmented(folder, classes)
    found = tree(folder)
    pools = [part for part in (found.first, found.test) if part is not None]
    albums = [file_album(told(part.folder), part.paths, part.labels) for part in pools]
    names = found.first.classes
    notices = []
    if classes is not None and len(names) > classes:
        raise BadData(f"The folder {told(folder)} holds {len(names)} classes, the network knows {classes}.")
    if classes is not None and len(names) < classes:
        notices.append(
            f"The folder holds {len(names)} classes, the network knows {classes}: class folders are numbered from 0 in "
            "the order of their names."
        )
    skipped = tuple(one for part in pools for one in part.skipped)
    return Albums(albums[0], albums[1] if found.test else None, names, skipped, tuple(notices))


def _segmented(folder: Path, classes: int | None) -> Albums:
    """Pictures and masks of <folder>/images and <folder>/masks, or of such folders in train/ and test/ (val/)."""
    if is_folder(folder / IMAGES):
        album, skipped = _masked(folder, folder, classes)
        return Albums(album, None, None, skipped)
    train, tests = (masked_in(folder, names) for names in parts(folders_in(folder)))
    made = [_masked(place, folder, classes) for place in [*train[:1], *tests][:2]]
    skipped = tuple(one for _, left_out in made for one in left_out)
    return Albums(made[0][0], made[1][0] if len(made) > 1 else None, None, skipped)


def _masked(folder: Path, top: Path, classes: int | None) -> tuple[Album, tuple[Skipped, ...]]:
    require_inside(folder, top)
    pictures, skipped = pictures_below(folder / IMAGES, top)
    found, more = pictures_below(folder / MASKS, top)
    masks = {_stem(path, folder / MASKS): path for path in found}
    pairs = [(path, masks[_stem(path, folder / IMAGES)]) for path in pictures if _stem(path, folder / IMAGES) in masks]
    alone = [(told(path), "no mask of the same name") for path in pictures if _stem(path, folder / IMAGES) not in masks]
    if not pairs:
        raise BadData(f"No picture of {told(folder / IMAGES)} has a mask of the same name in {told(folder / MASKS)}.")

    def opener(place: int) -> Opened:
        return open_file(pairs[place][0]), open_file(pairs[place][1])

    digest = digest_of(path for pair in pairs for path in pair)
    names = [told(picture) for picture, _ in pairs]
    album = Album(told(folder), digest, np.zeros(len(pairs), np.int64), names, opener, masks=True, classes=classes)
    return album, (*skipped, *more, *alone)


def _stem(path: str, folder: Path) -> str:
    return str(Path(path).relative_to(folder).with_suffix(""))
