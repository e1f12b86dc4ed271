"""A task that nobody has measured yet: what will be measured, how long about, and a button that begins."""

from __future__ import annotations

from typing import Any

import streamlit as st

from qexplore import zoo
from qexplore.errors import QexploreError
from qexplore.runs import FINISHED, Run
from qexplore.runs.profiles import Profile
from qexplore.ui.absent import how_to_get
from qexplore.ui.foreign import escaped
from qexplore.ui.stored import store
from qexplore.ui.work.watch import active, ask, watch

IMAGES = (100, 250, 500, 1000)  # evaluation images for the many small measurements
_START = 500
_WHAT = (
    "What is measured: the FP32 accuracy; what each weight and each activation loses at 2 to 8 bits, by up to five "
    "metrics; the range that each estimator gives it; the accuracy of some dozen allocations; what the steps of a "
    "recipe buy."
)


def spec_of(task: str, images: int = _START) -> dict[str, Any]:
    """The run that measures a task for the pages."""
    return {"kind": "profile", "task": task, "images": images}


def anew(profile: Profile) -> dict[str, Any]:
    """The run that repeats the measurement of a profile, with the limit of images that it had."""
    spec = {"kind": "profile", "task": profile.task, "recipe": profile.recipe["name"], "seed": profile.seed}
    limit = profile.header.get("limit", profile.header["images"])
    return spec if limit is None else {**spec, "images": limit}


def queue(task: str) -> None:
    """Has a task measured, unless that is under way."""
    if not _measuring(task):
        ask(spec_of(task))


def unmeasured(task: str) -> None:
    """The one panel of a page whose task has no profile; the page draws by itself once there is one."""
    with st.container(border=True, key="unmeasured"):
        under_way = _measuring(task)
        if under_way:
            st.markdown(f"**{task} is being measured.** The page appears as soon as that is done.")
            st.caption(_WHAT)
            watch([run.spec for run in under_way], key="unmeasured-run")
            return
        st.markdown(
            f"**{task} has not been measured yet.** What is measured once is then drawn at once, on every page."
        )
        st.caption(f"{_WHAT} {_long(task)}")
        absent = how_to_get(task)
        if absent:
            st.info(absent, icon=":material/image_not_supported:")
        _last(task)
        _button(task, bool(absent))


def stale(profile: Profile) -> None:
    """Where the network or the images have changed since they were measured: that, and a button to do it anew."""
    if not profile.stale:
        return
    task = profile.task
    under_way = _measuring(task)
    if under_way:
        st.info(f"**{task} is being measured anew**; until then this page shows what it was.", icon=":material/speed:")
        watch([run.spec for run in under_way], key="stale-run")
        return
    told, button = st.columns([4, 1.2], vertical_alignment="center")
    told.warning(
        f"The network's file or the images of **{task}** have changed since everything here was measured.",
        icon=":material/history:",
    )
    button.button("Measure it anew", key="measure-anew", on_click=ask, args=(anew(profile),))


def _button(task: str, absent: bool) -> None:
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    images = left.select_slider(
        "images for each small measurement",
        IMAGES,
        value=_START,
        key="unmeasured-images",
        help="More images make narrower intervals and take as much longer.",
    )
    right.button(
        "Measure it now",
        type="primary",
        icon=":material/speed:",
        key="measure-now",
        disabled=absent,
        on_click=ask,
        args=(spec_of(task, int(images)),),
    )


def _measuring(task: str) -> list[Run]:
    return [run for run in active() if run.kind == "profile" and run.task == task and not run.outdated]


def _last(task: str) -> None:
    """Why the last attempt came to nothing."""
    for run in store().runs(limit=1, state=FINISHED, kind="profile", task=task):
        if run.error and not run.outdated:
            st.error(f"The last attempt: {escaped(run.error)}", icon=":material/error:")


def _long(task: str) -> str:
    """About how long it takes, judged by the size of the images."""
    try:
        source = zoo.entry(task).source
    except QexploreError:
        return ""
    stored = (source or {}).get("preprocessing") or {}
    side = max((n for n in _flat([stored.get("crop"), stored.get("resize")])), default=32)
    about = (
        "some minutes" if side <= 64 else "ten minutes for a small network up to hours for a large one, on a processor"
    )
    return f"That takes {about}; it goes on in the background, and the time left is shown."


def _flat(sizes: list[Any]) -> list[int]:
    return [n for size in sizes if size for n in (size if isinstance(size, list) else [size])]
