"""From which divergence on a site or a network does harm."""

from __future__ import annotations

# By Pinsker's inequality a divergence D moves at most √(D / 2) of the probability that a network gives to its classes.
# A site that moves less than 1 % by itself does no harm worth a name; a network that moves 10 % is another network.
SUSPECT = 2 * 0.01**2
HARM = 2 * 0.10**2
# A bit more halves the step of a grid and quarters its noise power, to which a small divergence is proportional: what
# is not four times better is no repair that a bit could not buy.
ONE_BIT = 4.0
