"""Text from elsewhere, a file or an address, so that Markdown reads nothing into it."""

from __future__ import annotations

from qexplore.errors import foreign
from qexplore.escaping import escaped
from qexplore.zoo.image_files import told

__all__ = ["code", "escaped", "whole"]


def code(text: str) -> str:
    """A name as code, shortened."""
    return f"`{foreign(text).replace('`', ' ')}`"


def whole(path: object) -> str:
    """A path as code, to its end."""
    return f"`{told(path).replace('`', ' ')}`"
