"""Which network: an architecture by its name, and where its weights come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from qexplore.ui.own.adding import ENDINGS, LARGEST, Upload
from qexplore.ui.own.helper import Catalogue
from qexplore.zoo import ENTRIES

OWN_FILE, SHIPPED, RANDOM = "a file of mine", "as shipped", "random"


@dataclass(frozen=True)
class Network:
    """model: the source as `own.add` takes it; upload: the file of weights, where one is to come with it."""

    model: str
    upload: Upload | None = None


def choose(known: Catalogue) -> Network | None:
    """Draws the controls; None until they say a network, and its file where it needs one."""
    name = st.selectbox(
        "network",
        [*(f"torchvision:{model}" for model in known), *ENTRIES],
        index=None,
        key="own-model",
        placeholder="type a name, such as resnet18",
        format_func=_label,
        help="All classification and segmentation models of torchvision, and the architectures of the zoo.",
    )
    if name is None:
        return None
    model = name.removeprefix("torchvision:")
    choices = [*known[model], RANDOM, OWN_FILE] if name != model else [OWN_FILE, SHIPPED]
    weights = st.selectbox("weights", choices, key=f"own-weights {name}", format_func=_weights_label)
    st.caption(_about(known.get(model, {}), weights) if name != model else ENTRIES.get(name).description)
    if weights == OWN_FILE:
        upload = _upload()
        return None if upload is None else Network(name, upload)
    return Network(name if name == model else f"{name}@{weights}")


def _upload() -> Upload | None:
    file = st.file_uploader(
        f"weights: safetensors, or a checkpoint of plain tensors; at most {LARGEST} MB",
        type=list(ENDINGS),
        key="own-file",
        max_upload_size=LARGEST,
        help="torch.save(model.state_dict(), …) or a training checkpoint with it inside. Nothing in a file is run.",
    )
    return None if file is None else Upload(file.name, file.getbuffer())


def _label(name: str) -> str:
    family, colon, model = name.partition(":")
    return f"{model} · torchvision" if colon else f"{family} · zoo"


def _weights_label(weights: str) -> str:
    return "random: to try things out" if weights == RANDOM else weights


def _about(weights: dict[str, list[str]], chosen: str) -> str:
    """The preprocessing, and whether the weights are on this machine."""
    text, file = weights.get(chosen) or next(iter(weights.values()))
    if chosen not in weights:
        return f"Images are {text}."
    here = "The weights are on this machine." if Path(file).is_file() else "The weights will be downloaded once."
    return f"Images are {text}. {here}"
