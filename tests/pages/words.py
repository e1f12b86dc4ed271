"""What is written on a page under test."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

KINDS = ("markdown", "caption", "error", "warning", "info", "header", "subheader", "html")


def words(at: AppTest) -> str:
    """All text, in one string."""
    found = []
    for kind in KINDS:
        for element in at.get(kind):
            body = getattr(element, "value", None) or getattr(getattr(element, "proto", None), "body", "")
            found.append(str(body))
    return "\n".join(found)
