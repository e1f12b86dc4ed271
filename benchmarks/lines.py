"""How many lines a user writes for one setting, counted from the script that is run.

Counted: the lines with code on them (no blank lines, comments or docstrings) of the setting's row in the table
SETTINGS, and of every function, constant and import of the same file that it names, directly or through another.
All scripts are formatted by one formatter at one line length, so that a line is a line.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator

TABLE = "SETTINGS"
_BLANK = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def count_lines(source: str, setting: str) -> int:
    """Code lines of the script `source` that `setting` needs; KeyError for a setting that its table does not have."""
    tree = ast.parse(source)
    parts = [_row(tree, setting)]
    defined = {name: statement for statement in tree.body for name in _names_of(statement) if name != TABLE}
    for part in parts:  # grows while it is walked
        named = {node.id for node in ast.walk(part) if isinstance(node, ast.Name)} & defined.keys()
        parts += [defined[name] for name in sorted(named) if defined[name] not in parts]
    spanned = {line for part in parts for line in _span(part)}
    return len(spanned & _code_lines(source) - set(_docstrings(tree)))


def _row(tree: ast.Module, setting: str) -> ast.expr:
    for statement in tree.body:
        if TABLE in _names_of(statement) and isinstance(getattr(statement, "value", None), ast.Dict):
            rows = statement.value
            return {key.value: value for key, value in zip(rows.keys, rows.values)}[setting]
    raise KeyError(TABLE)


def _names_of(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement at the top of a file defines."""
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in names)
        case ast.Assign(targets=targets):
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name


def _span(part: ast.AST) -> range:
    first = min([part.lineno, *(decorator.lineno for decorator in getattr(part, "decorator_list", []))])
    return range(first, part.end_lineno + 1)


def _code_lines(source: str) -> set[int]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {line for t in tokens if t.type not in _BLANK for line in range(t.start[0], t.end[0] + 1)}


def _docstrings(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node) is not None:
            yield from _span(node.body[0])
