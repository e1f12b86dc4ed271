"""qexplore: understand, measure and choose neural-network quantization.

The public face. Names are loaded when first used, so that `import qexplore` needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "Accuracy": "qexplore.network",
    "Answer": "qexplore.allocate",
    "Budget": "qexplore.allocate",
    "Data": "qexplore.zoo",
    "Diagnosis": "qexplore.debugging",
    "Network": "qexplore.network",
    "QexploreError": "qexplore.errors",
    "Recipe": "qexplore.recipes",
    "Result": "qexplore.recipes",
    "Task": "qexplore.zoo",
    "ablate": "qexplore.recipes",
    "allocate": "qexplore.allocate",
    "debug": "qexplore.debugging",
    "run": "qexplore.recipes",
    "sensitivity": "qexplore.recipes",
}
__all__ = [
    "Accuracy",
    "Answer",
    "Budget",
    "Data",
    "Diagnosis",
    "Network",
    "QexploreError",
    "Recipe",
    "Result",
    "Task",
    "ablate",
    "allocate",
    "debug",
    "run",
    "sensitivity",
]

if TYPE_CHECKING:
    from qexplore.allocate import Answer, Budget, allocate
    from qexplore.debugging import Diagnosis, debug
    from qexplore.errors import QexploreError
    from qexplore.network import Accuracy, Network
    from qexplore.recipes import Recipe, Result, ablate, run, sensitivity
    from qexplore.zoo import Data, Task


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'qexplore' has no attribute {name!r}")
    # No caching in globals(): `qexplore.allocate` is a package and a function of the public face at once.
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
