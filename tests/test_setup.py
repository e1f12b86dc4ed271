"""What a fresh clone relies on: bounds that keep working, files that a wheel carries, a README that names what is."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from qexplore.cli.verbs import VERBS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def requirements(name: str) -> dict[str, Requirement]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {one.name.lower(): one for one in found}


def test_streamlit_is_held_at_one_minor_release():
    allowed = requirements("requirements.txt")["streamlit"].specifier
    assert "1.67.5" in allowed
    assert "1.68.0" not in allowed
    assert "1.66.9" not in allowed


def test_the_torch_whose_cpu_build_breaks_torchvision_is_left_out():
    allowed = requirements("requirements.txt")["torch"].specifier
    assert "2.11.0" in allowed
    assert "2.14.0" in allowed
    assert "2.13.0" not in allowed
    assert "2.13.0+cpu" not in allowed
    assert "2.10.1" not in allowed


def test_tools_of_development_are_no_runtime_requirements():
    assert not requirements("requirements.txt").keys() & requirements("requirements-dev.txt").keys()


def test_every_file_of_the_package_is_carried_by_a_wheel():
    listed = subprocess.run(["git", "ls-files", "qexplore"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("This is not a git clone: what belongs to the package cannot be told.")
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["qexplore"]
    kinds = {Path(pattern).suffix for pattern in patterns} | {".py"}
    assert [name for name in listed.stdout.splitlines() if Path(name).suffix not in kinds] == []


def test_the_readme_shows_every_verb_and_no_other():
    assert set(re.findall(r"python -m qexplore (\w+)", README)) == set(VERBS)


def test_the_readme_names_two_commands_of_make():
    assert set(re.findall(r"^make (\w+)", README, re.MULTILINE)) == {"app", "test"}
