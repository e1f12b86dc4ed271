"""The command line: one more door to the engine.

With --json, stdout holds one JSON document and nothing else; what happens on the way goes to stderr.
Exit status: 0 done, 1 the work failed, 2 the words were wrong, 130 interrupted.
"""

from qexplore.cli.main import entry, main

__all__ = ["entry", "main"]
