"""What the numbers of a sensitivity metric are, in words for axes and captions."""

from __future__ import annotations

from typing import NamedTuple


class Scale(NamedTuple):
    """title: of an axis, with the unit where there is one. means: what 0.01 on it is, a sentence."""

    title: str
    means: str

    @property
    def name(self) -> str:
        """The title without the unit."""
        return self.title.partition(",")[0]

    @property
    def unit(self) -> str:
        """The unit after a number, with a space before it; nothing where there is none."""
        return self.title.partition(",")[2]


_LOSS = Scale(
    "rise of the loss, nats", "Loss is cross-entropy: with 0.01 nats more the right class gets 1 % less probability."
)
_ANSWERS = Scale(
    "move of the answers, nats",
    "With 0.01 nats FP32's answers get on average 1 % less probability from the quantized network.",
)
_NOISE = Scale("noise over signal", "0.01 is noise of a hundredth of the signal's power: 20 dB of SQNR.")
_SCALES = {"fisher": _ANSWERS, "divergence": _ANSWERS, "sqnr": _NOISE}


def scale_of(metric: str) -> Scale:
    """The scale of a metric by its name."""
    return _SCALES.get(metric, _LOSS)
