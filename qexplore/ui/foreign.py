"""Text from elsewhere, a file or an address, so that Markdown reads nothing into it."""

from __future__ import annotations

import re

from qexplore.errors import foreign
from qexplore.zoo.image_files import told

_MEANT = re.compile(r"[\\`*_\[\]<>$~#|!]")  # what begins or ends anything in Markdown


def code(text: str) -> str:
    """A name as code, shortened."""
    return f"`{foreign(text).replace('`', ' ')}`"


def whole(path: object) -> str:
    """A path as code, to its end."""
    return f"`{told(path).replace('`', ' ')}`"


def escaped(text: str) -> str:
    """A sentence as it stands; what is no text (half a surrogate pair) as question marks."""
    return _MEANT.sub(r"\\\g<0>", text.encode("utf-8", "replace").decode())
