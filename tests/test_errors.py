"""An unknown name is answered with the nearest, and with no more names than a person reads."""

import pytest

from qexplore.errors import LISTED, UnknownName, foreign


def test_few_names_are_all_told_and_of_many_the_first_and_their_number() -> None:
    few = str(UnknownName("site", "x", ["a", "b"]))
    assert few == "There is no site 'x'; known: a, b."
    many = str(UnknownName("site", "blok.7", [f"block.{i}" for i in range(200)]))
    assert "did you mean 'block.7'" in many
    assert many.endswith(f"block.{LISTED - 1}, {200 - LISTED} more.")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("layer1.0.conv1.weight", "layer1.0.conv1.weight"),
        ("größe", "größe"),
        ("\x1b[31mred\r\n\u2028", r"\x1b[31mred\r\n\u2028"),
        ("a\ud800b", r"a\ud800b"),
        ("\u202egnp", r"\u202egnp"),
        (3, "3"),
        ("a" * 40 + "b" * 20_000_000, "a" * 29 + "…" + "b" * 30),
    ],
)
def test_a_name_out_of_a_file_is_one_short_line(name: object, told: str) -> None:
    assert foreign(name) == told
    assert len(foreign("\ud800" * 100)) <= 60
