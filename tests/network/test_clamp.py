"""The clamp in place gives the gradient of the clamp."""

import pytest
import torch

from qexplore.network.clamps import clamp


@pytest.mark.parametrize("bounds", [(0.0, None), (0.0, 6.0), (-1.0, 1.0), (None, 2.0)])
def test_gradient_in_place_equals_that_out_of_place(bounds: tuple[float | None, float | None]) -> None:
    x = torch.linspace(-3, 9, 200).requires_grad_()
    weights = torch.linspace(1, 2, 200)
    gradients = []
    for inplace in (False, True):
        y = clamp(x * 1.0, *bounds, inplace=inplace)
        gradients.append(torch.autograd.grad((y * weights).sum(), x)[0])
    torch.testing.assert_close(*gradients)


def test_gradient_with_respect_to_the_clamped_result_itself() -> None:
    x = torch.linspace(-3, 9, 50).requires_grad_()
    y = clamp(x * 2.0, 0.0, 6.0, inplace=True)
    (gradient,) = torch.autograd.grad(y.square().sum(), y)
    torch.testing.assert_close(gradient, 2 * y.detach())
