"""An unknown name is answered with the nearest, and with no more names than a person reads."""

from qexplore.errors import LISTED, UnknownName


def test_few_names_are_all_told_and_of_many_the_first_and_their_number() -> None:
    few = str(UnknownName("site", "x", ["a", "b"]))
    assert few == "There is no site 'x'; known: a, b."
    many = str(UnknownName("site", "blok.7", [f"block.{i}" for i in range(200)]))
    assert "did you mean 'block.7'" in many
    assert many.endswith(f"block.{LISTED - 1}, {200 - LISTED} more.")
