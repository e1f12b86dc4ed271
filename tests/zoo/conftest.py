"""What tests of images share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder, beside the home of the test."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder
