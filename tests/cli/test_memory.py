"""Memory of the command line on more pictures than would fit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.zoo.album_makers import picture

PICTURES = 50_000
SIDE = 224  # pixels: decoded, all of them are 7.5 GB

NETWORK = """
from torch import nn

def network():
    pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    return nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.ReLU(), *pooled)
"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units elsewhere")
def test_a_folder_of_fifty_thousand_pictures_needs_less_than_four_gibibytes(tmp_path: Path) -> None:
    folder, network = tmp_path / "pictures", tmp_path / "mine.py"
    network.write_text(NETWORK)
    kinds = [tmp_path / f"{number}.jpg" for number in range(20)]
    for number, kind in enumerate(kinds):
        picture(number, (SIDE // 8, SIDE // 8)).resize((SIDE, SIDE)).save(kind)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(PICTURES // 2):
            os.link(kinds[number % len(kinds)], folder / name / f"{number:05}.jpg")
    words = ["run", "w8a8", "--model", f"{network}:network", "--data", str(folder), "--json"]
    with (tmp_path / "said").open("w+") as said, (tmp_path / "told").open("w+") as told:
        process = subprocess.Popen([sys.executable, "-m", "qexplore", *words], stdout=said, stderr=told)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, (tmp_path / "told").read_text()[-500:]
        document = json.loads((tmp_path / "said").read_text())
    print(f"peak memory: {used.ru_maxrss / 2**20:.2f} GiB")
    assert document["accuracy"]["images"] > 0.7 * PICTURES
    assert used.ru_maxrss < 4 * 2**20  # in KiB
