"""The moment of a training that is looked at: a slider over what was told, and a button that plays it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from qexplore.ui.sentence import sentence

_EVERY = 0.7  # seconds a moment while it plays
_PLAYS = "training-plays"
_LAST = -1  # the option of the last moment, whichever that is by now


def replayed(
    name: str,
    epochs: Sequence[float],
    draw: Callable[[int], object],
    told: Callable[[int], str],
    short: Callable[[int], str],
) -> None:
    """Draws `draw(number)` for the moment that the address or the slider names, with a slider and a play button.

    name: of the training and what is replayed. epochs: of the moments, in order; without another wish the last one is
    shown, also when a new one arrives. told: what stands beside the slider. short: a word
    that no other moment has, over the slider's handle; over the last one stands "last".
    """
    if not epochs:
        return
    plays = _plays(name, epochs)
    looks: list[int] = []

    @st.fragment(run_every=_EVERY if plays else None)
    @sentence()
    def body() -> None:
        number = _number(epochs)
        looks.append(number)
        if plays and len(looks) > 1 and _plays(name, epochs):
            if number == len(epochs) - 1:
                st.session_state[_PLAYS] = None
            else:
                number += 1
                _go(epochs, number)
        if plays != _plays(name, epochs):
            st.rerun()  # the pace of a fragment is set where it is defined
        if len(epochs) > 1:
            left, right = st.columns([1, 7], vertical_alignment="bottom")
            with left:
                _button(name, epochs, plays)
            with right:
                _slider(name, epochs, number, told, short)
        else:
            st.caption(told(number))
        draw(number)

    body()


def _plays(name: str, epochs: Sequence[float]) -> bool:
    return st.session_state.get(_PLAYS) == name and len(epochs) > 1


def _button(name: str, epochs: Sequence[float], plays: bool) -> None:
    label, icon = ("Stop", ":material/stop:") if plays else ("Play", ":material/play_arrow:")
    st.button(label, icon=icon, key=f"play-{name}", on_click=_toggle, args=(name, list(epochs)), width="stretch")


def _slider(
    name: str, epochs: Sequence[float], number: int, told: Callable[[int], str], short: Callable[[int], str]
) -> None:
    """One option stays that of the last moment while moments come. Were each arrival another value, set from here, the
    browser might still send the one before, and nothing would tell that from a choice of the visitor.
    """
    key, last = f"moment-{name}", len(epochs) - 1
    wanted = _LAST if number == last else number
    if st.session_state.get(key) != wanted:
        st.session_state[key] = wanted
    st.select_slider(
        told(number),
        [*range(last), _LAST],
        format_func=lambda option: "last" if option == _LAST else short(option),
        key=key,
        on_change=lambda: _go(epochs, int(st.session_state[key])),
        help="Moments in the order in which they were told; the address keeps the epoch, and at the last one the page "
        "goes on to those that come.",
    )


def _number(epochs: Sequence[float]) -> int:
    """The last moment that is no later than the address says; the last of all where it says nothing."""
    try:
        at = float(st.query_params["at"])
    except (KeyError, ValueError):
        return len(epochs) - 1
    return max((number for number, epoch in enumerate(epochs) if epoch <= at + 1e-6), default=0)


def _go(epochs: Sequence[float], number: int) -> None:
    if number == _LAST or number >= len(epochs) - 1:
        st.query_params.pop("at", None)
    else:
        st.query_params["at"] = f"{epochs[number]:.6g}"


def _toggle(name: str, epochs: Sequence[float]) -> None:
    if st.session_state.get(_PLAYS) == name:
        st.session_state[_PLAYS] = None
        return
    st.session_state[_PLAYS] = name
    if _number(epochs) == len(epochs) - 1:
        _go(epochs, 0)
