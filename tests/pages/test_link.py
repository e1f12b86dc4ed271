"""The address that a page offers for copying."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def drawn(**state: str) -> str:
    def page() -> None:
        from qexplore.ui.link import link

        link()

    at = AppTest.from_function(page)
    for key, value in state.items():
        at.query_params[key] = value
    return str(at.run().code[0].value)


def test_a_view_as_it_first_comes_has_the_address_of_its_page() -> None:
    assert "?" not in drawn()


def test_any_other_view_has_its_state_behind_it() -> None:
    assert drawn(w="4.5", lock="3:8 17:2").endswith("?w=4.5&lock=3%3A8+17%3A2")
