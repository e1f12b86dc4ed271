"""Measures all tools one after the other and writes docs/peers.md.

python -m benchmarks.run --data FOLDER-OF-CIFAR-10 makes an environment for each peer first, some gigabytes each.
The figures go to benchmarks/results.json as they come; with --tools or --bits the others stay as they stand there, if
their seed is the same.
--write makes the page from it without measuring.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.document import markdown
from benchmarks.export import WEIGHTS
from benchmarks.tools import BITS, HERE, TOOLS, interpreter, measure

RESULTS = HERE / "results.json"
PAGE = HERE.parent / "docs" / "peers.md"


def main() -> None:
    given = _arguments()
    if not given.write:
        with tempfile.TemporaryDirectory() as folder:
            fill(given, Path(folder))
    PAGE.write_text(markdown(json.loads(RESULTS.read_text())))
    print(f"Written: {PAGE.relative_to(HERE.parent)}")


def fill(given: argparse.Namespace, folder: Path) -> None:
    """Measures each setting with the tools side by side, so that a slow hour of the machine hits all of them."""
    results = _kept(given)
    tools = [tool for tool in TOOLS if tool.key in given.tools]
    python = {tool.key: interpreter(tool, given.environments) for tool in tools}
    data = ["--data", str(given.data)] if given.data else []
    subprocess.run([sys.executable, "-m", "benchmarks.export", "--out", folder, *data], check=True, cwd=HERE.parent)
    arguments: list[str | Path] = ["--weights", folder / WEIGHTS, "--data", folder, "--seed", str(given.seed)]
    found = {
        "command": f"python -m benchmarks.run --data FOLDER --seed {given.seed}",
        "machine": machine(),
        "fp32": measure(sys.executable, TOOLS[0], "fp32", arguments),
        "results": results,
    }
    for bits in given.bits:
        for tool in tools:
            printed = measure(python[tool.key], tool, bits, arguments)
            results[bits][tool.key] = printed
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
            print(f"{bits} {tool.title}: {_told(printed)}", file=sys.stderr)


def _kept(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What was measured before with this seed: bits -> tool -> what its script printed.

    SystemExit where figures of another seed would stay beside those of this run: the page tells one seed for all.
    """
    stored = json.loads(RESULTS.read_text())["results"] if RESULTS.exists() else {}
    rows = {(bits, tool): printed for bits, row in stored.items() for tool, printed in row.items()}
    others = {place: row["seed"] for place, row in rows.items() if row.get("seed", given.seed) != given.seed}
    left = {seed for place, seed in others.items() if place not in product(given.bits, given.tools)}
    if left:
        raise SystemExit(
            f"{RESULTS.name} holds figures of seed {min(left)}, which this run would leave beside those of seed "
            f"{given.seed}: measure with --seed {min(left)}, or all tools and bits anew."
        )
    kept = {place: printed for place, printed in rows.items() if place not in others}
    return {bits: {tool: printed for (at, tool), printed in kept.items() if at == bits} for bits in BITS}


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo")
    name = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": f"{name[1] if name else platform.processor()}, {os.cpu_count()} cores, of which one is used",
        "memory": f"{pages / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
    }


def _told(printed: dict[str, Any]) -> str:
    if "right" in printed:
        return f"{100 * printed['correct'] / printed['images']:.2f} %, {printed['seconds']:.0f} s"
    return str(printed.get("failed") or printed.get("not_offered"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of CIFAR-10; else QEXPLORE_DATA names it")
    parser.add_argument("--environments", type=Path, default=HERE / ".environments", help="where the peers live")
    parser.add_argument("--seed", type=int, default=0)
    keys = [tool.key for tool in TOOLS]
    parser.add_argument("--tools", nargs="+", choices=keys, default=keys, help="measure these only")
    parser.add_argument("--bits", nargs="+", choices=BITS, default=list(BITS), help="measure these only")
    parser.add_argument("--write", action="store_true", help="write the page from benchmarks/results.json alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
