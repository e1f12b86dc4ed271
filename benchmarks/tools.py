"""The tools, the settings, and how a tool's own environment is made and used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BITS = {
    "w8a8": "8-bit weights, 8-bit activations",
    "w4a8": "4-bit weights, 8-bit activations",
    "w4a4": "4-bit weights, 4-bit activations",
    "mixed": "weights of 4 bits on average, 8-bit activations",
}
HOURS = 2


@dataclass(frozen=True)
class Tool:
    """A tool under its name: a script, and a file of requirements unless it is qexplore, which runs where it is.

    variant: what the script's settings have at their end, where one tool is measured in two ways.
    """

    key: str
    title: str
    variant: str = ""

    @property
    def base(self) -> str:
        """The name that script, requirements and environment share with the tool's other variants."""
        return self.key.removesuffix(self.variant)

    @property
    def script(self) -> Path:
        return HERE / f"{self.base}_ptq.py"

    @property
    def requirements(self) -> Path | None:
        file = HERE / f"requirements-{self.base}.txt"
        return file if file.exists() else None

    def setting(self, bits: str) -> str:
        """What the script calls the setting `bits`."""
        return bits + self.variant if bits in BITS else bits


TOOLS = (
    Tool("qexplore", "qexplore"),
    Tool("brevitas", "Brevitas"),
    Tool("mct", "MCT"),
    Tool("mct-gptq", "MCT, GPTQ", "-gptq"),
)


def interpreter(tool: Tool, folder: Path) -> str:
    """The Python of the tool's environment below `folder`, made now unless its requirements are the same still."""
    if tool.requirements is None:
        return sys.executable
    home, wanted = folder / tool.base, tool.requirements.read_text()
    python, stamp = home / "bin" / "python", home / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(home, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", tool.requirements], check=True)
        stamp.write_text(wanted)  # last: an install that was interrupted starts again
    return str(python)


def measure(python: str, tool: Tool, bits: str, arguments: Sequence[str | Path]) -> dict[str, Any]:
    """What the tool's script prints for one setting, run alone on one thread; "failed" says why there is nothing."""
    setting = ["--bits", tool.setting(bits), "--json"]
    command = [python, "-m", f"benchmarks.{tool.script.stem}", *setting, *map(str, arguments)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    try:
        done = subprocess.run(
            command, cwd=HERE.parent, env=os.environ | threads, capture_output=True, text=True, timeout=3600 * HOURS
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"it was stopped after {HOURS} hours"}
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"failed": said[-1]}
    return json.loads(done.stdout)
