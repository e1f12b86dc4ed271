"""A sentence on a page or in a report, so that Markdown reads nothing into it."""

from __future__ import annotations

import re

_MEANT = re.compile(r"[\\`*_\[\]<>$~#|!&]")  # what begins or ends anything in Markdown
_LINKS = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)(?=[-\w])", re.IGNORECASE)  # what is a link without any sign
_APART = "&#8288;"  # a joint of no width


def escaped(text: str) -> str:
    """A sentence as it stands, on one line; what is no text (half a surrogate pair) as question marks."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return _LINKS.sub(_APART, _MEANT.sub(r"\\\g<0>", line))
