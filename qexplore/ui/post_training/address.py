"""A recipe of one's own in the address: its document, compressed, in letters that a link may hold."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from typing import Any

from qexplore.errors import QexploreError

MOST_LETTERS, MOST_BYTES = 8_000, 64_000


class BadLink(QexploreError):
    """A text in the address that holds no document."""


def pack(document: Mapping[str, Any]) -> str:
    """A JSON document as letters, digits, - and _."""
    text = json.dumps(document, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(zlib.compress(text, 9)).decode().rstrip("=")


def unpack(text: str) -> dict[str, Any]:
    """The document in a packed text; BadLink where it is none or too large to be a recipe."""
    try:
        if len(text) > MOST_LETTERS:
            raise ValueError("too long")
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        reader = zlib.decompressobj()
        plain = reader.decompress(packed, MOST_BYTES)
        if not reader.eof:
            raise ValueError("too long")
        document = json.loads(plain)
    except (ValueError, zlib.error, binascii.Error, RecursionError) as error:
        raise BadLink("The recipe in the address cannot be read: open the link anew, or pick a recipe.") from error
    if not isinstance(document, dict):
        raise BadLink("The address holds no recipe: pick one.")
    return document
