"""Whether a network can be quantized at all, found out before anybody keeps it."""

from __future__ import annotations

from torch import Tensor, nn

from qexplore.network.network import Network

NAMED = 4  # parts that stay whole


def capturable(model: nn.Module, example: Tensor) -> tuple[str, ...]:
    """Sentences on what will stay unquantized inside; CaptureError where the model cannot be captured as a whole."""
    opaque = Network.of(model, example).opaque
    if not opaque:
        return ()
    named = "; ".join(f"{name} ({reason})" for name, reason in opaque[:NAMED])
    more = f" and {len(opaque) - NAMED} more" if len(opaque) > NAMED else ""
    return (f"Quantized at its borders only, not inside: {named}{more}.",)
