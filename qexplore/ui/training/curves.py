"""Loss and accuracy over the epochs."""

from __future__ import annotations

import streamlit as st

from qexplore.figures import training as drawn
from qexplore.metric import titled
from qexplore.runs.trainings import Training
from qexplore.ui.draw import figure


def curves(training: Training) -> None:
    """Draws both curves beside each other; on a phone below."""
    left, right = st.columns(2, gap="medium")
    main, before = training.main, training.before
    with left:
        st.markdown(f"**{titled(training.metric)}**")
        figure(
            drawn.accuracy(
                training.course,
                training.epochs,
                before=(main.begins, before) if main is not None and before is not None else None,
                after=training.after,
                fp32=training.fp32["accuracy"] if training.fp32 else None,
                parts=training.parts,
                metric=training.metric,
            )
        )
    with right:
        st.markdown("**Loss**")
        figure(
            drawn.loss(training.losses, training.marks, training.epochs, training.parts, distilled=training.distilled)
        )
