"""Model Compression Toolkit: its PTQ as documented, and the same fine-tuned by its gradient-based step (GPTQ).

Its stock platform (IMX500) allows activations only thresholds that are powers of two, and 8 bits. The platform here is
the stock one with uniform (asymmetric) activations of the bits asked for, written as its documentation tells to.
For mixed precision its exact search chooses of the stock menu of 8, 4 and 2 bits under a limit on the weights' bytes.
Defaults otherwise: weights symmetric, one range a channel by mean squared error, bias correction, collapsed layers.
GPTQ goes over the images ten times. Its default of weighing them by Hessians is off: judging by its first iterations it
would take about half an hour a setting on one thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import model_compression_toolkit as mct
from model_compression_toolkit.target_platform_capabilities import QuantizationMethod, TargetPlatformCapabilities
from model_compression_toolkit.target_platform_capabilities.tpc_models.imx500_tpc.v1_0 import tpc
from torch import Tensor, nn

from benchmarks.harness import Quantized, main

ROUNDING = mct.gptq.get_pytorch_gptq_config(
    n_epochs=10, use_hessian_based_weights=False, use_hessian_sample_attention=False
)


def batches(images: Tensor) -> Iterator[list[Tensor]]:
    yield from ([batch] for batch in images.split(64))


def platform(activations: int, weights: tuple[int, ...]) -> TargetPlatformCapabilities:
    base, _, default = tpc.get_op_quantization_configs()
    uniform = {
        "activation_quantization_method": QuantizationMethod.UNIFORM,
        "activation_n_bits": activations,
        "supported_input_activation_n_bits": (activations,),
    }
    menu = [
        base.clone_and_edit(attr_to_edit={tpc.KERNEL_ATTR: {tpc.WEIGHTS_N_BITS: bits}}, **uniform) for bits in weights
    ]
    return tpc.generate_tpc(default.clone_and_edit(**uniform), menu[0], menu, "uniform")


def ptq(model: nn.Module, images: Tensor, labels: Tensor, *, weights: int, activations: int) -> Quantized:
    return mct.ptq.pytorch_post_training_quantization(
        model, partial(batches, images), target_platform_capabilities=platform(activations, (weights,))
    )[0]


def gptq(model: nn.Module, images: Tensor, labels: Tensor, *, weights: int, activations: int) -> Quantized:
    return mct.gptq.pytorch_gradient_post_training_quantization(
        model,
        partial(batches, images),
        gptq_config=ROUNDING,
        target_platform_capabilities=platform(activations, (weights,)),
    )[0]


def limits(model: nn.Module) -> dict[str, Any]:
    weights = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    return {
        "target_resource_utilization": mct.core.ResourceUtilization(weights_memory=weights * 4 / 8),
        "core_config": mct.core.CoreConfig(mixed_precision_config=mct.core.MixedPrecisionQuantizationConfig()),
        "target_platform_capabilities": platform(8, (8, 4, 2)),
    }


def mixed(model: nn.Module, images: Tensor, labels: Tensor) -> Quantized:
    return mct.ptq.pytorch_post_training_quantization(model, partial(batches, images), **limits(model))[0]


def mixed_gptq(model: nn.Module, images: Tensor, labels: Tensor) -> Quantized:
    return mct.gptq.pytorch_gradient_post_training_quantization(
        model, partial(batches, images), gptq_config=ROUNDING, **limits(model)
    )[0]


SETTINGS = {
    "w8a8": partial(ptq, weights=8, activations=8),
    "w4a8": partial(ptq, weights=4, activations=8),
    "w4a4": partial(ptq, weights=4, activations=4),
    "mixed": mixed,
    "w8a8-gptq": partial(gptq, weights=8, activations=8),
    "w4a8-gptq": partial(gptq, weights=4, activations=8),
    "w4a4-gptq": partial(gptq, weights=4, activations=4),
    "mixed-gptq": mixed_gptq,
}

if __name__ == "__main__":
    main("model-compression-toolkit", SETTINGS)
