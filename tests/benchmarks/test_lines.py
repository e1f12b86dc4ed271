"""A user's lines are counted from the script that runs: what a setting needs, and nothing else."""

from __future__ import annotations

import pytest

from benchmarks.lines import count_lines
from benchmarks.tools import BITS, TOOLS, Tool

SCRIPT = '''"""A docstring
of two lines.
"""

from tool import (
    apply,
    prepare,
)
import unused

ROUNDS = 3


def quantize(model, bits):
    """Not counted."""
    # neither is this

    return helper(model, bits)


def helper(model, bits):
    text = """a value
of two lines"""
    return apply(model, bits, ROUNDS, text)


def other(model):
    return unused.apply(model)


SETTINGS = {
    "plain": quantize,
    "own": other,
    "none": "the tool does not have it",
}
'''


def test_only_what_a_setting_names_directly_or_through_another_function_is_counted() -> None:
    imports, constant, quantize, helper, row = 4, 1, 2, 4, 1
    assert count_lines(SCRIPT, "plain") == imports + constant + quantize + helper + row
    assert count_lines(SCRIPT, "own") == 1 + 2 + 1


def test_comments_blank_lines_and_docstrings_do_not_change_the_count() -> None:
    bare = SCRIPT.replace('    """Not counted."""\n', "").replace("    # neither is this\n\n", "")
    assert bare != SCRIPT
    assert count_lines(bare, "plain") == count_lines(SCRIPT, "plain")


def test_a_setting_that_the_script_does_not_have_is_an_error() -> None:
    with pytest.raises(KeyError):
        count_lines(SCRIPT, "w2a2")


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.key)
def test_every_script_has_every_setting_or_says_why_not(tool: Tool) -> None:
    source = tool.script.read_text()
    assert all(count_lines(source, tool.setting(bits)) >= 1 for bits in BITS)
