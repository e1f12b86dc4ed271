"""What a training has learned, one view at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from qexplore import figures
from qexplore.figures import training as drawn
from qexplore.figures.words import small
from qexplore.runs.profiles import Profile
from qexplore.runs.trainings import Stage, Training
from qexplore.ui import instead
from qexplore.ui.chrome import pick_site
from qexplore.ui.draw import figure
from qexplore.ui.training.compare import compare
from qexplore.ui.training.known import Known
from qexplore.ui.training.moment import replayed

_BARS = "Weights upwards, activations downwards, at the moment of the slider. A click picks a site on all pages."
_CHOSEN = "view-chosen"  # in the session: whether a view was chosen by hand or by the address
View = Callable[[Profile, Known, Training], None]


def views(profile: Profile, one: Known, training: Training) -> None:
    """A switch between the views that this training has something for, and the one that is picked.

    While there is one alone there is nothing to pick: a switch would hold on to it when the others come.
    """
    offered = [name for name, (has, _) in _VIEWS.items() if has(training)]
    chosen = None
    if len(offered) > 1:
        _open_own(offered)
        chosen = st.segmented_control(
            "view",
            offered,
            default=offered[0],
            key="view",
            bind="query-params",
            on_change=_choose,
            label_visibility="collapsed",
        )
    _, draw = _VIEWS[str(chosen) if chosen in offered else offered[0]]
    draw(profile, one, training)


def _open_own(offered: list[str]) -> None:
    """Before the switch is drawn, which would hold on to the first view of the training that was shown before: sets it
    to the first view of this one, unless a view was chosen by hand or by the address, and is there.
    """
    if st.query_params.get("view") in offered:
        _choose()
    shown = st.session_state.get("view")
    kept = shown in offered and st.session_state.get(_CHOSEN)
    if shown not in (None, offered[0]) and not kept:
        st.session_state.update({"view": offered[0], _CHOSEN: False})


def _choose() -> None:
    st.session_state[_CHOSEN] = True


def _bits(profile: Profile, one: Known, training: Training) -> None:
    stage = _allocating(training)[-1]
    told = stage.allocations
    moments = [(each.epoch, each.bits) for each in told]
    until = told[-1].epoch if not len(stage.losses) else max(told[-1].epoch, float(stage.losses["epoch"].max()))
    site = _site(profile, stage)

    def draw(number: int) -> None:
        now = told[number]
        wide, narrow = st.columns([1.45, 1], gap="medium")
        with wide:
            st.markdown("**Bits over time**")
            shown = drawn.bits(moments, stage.sites, until, training.epochs, at=now.epoch, picked=site)
            figure(shown, on_pick=pick_site)
        with narrow:
            st.markdown(f"**At epoch {now.epoch:.3g}** :gray[:small[{_spent(stage, number)}]]")
            bars = replace(figures.allocation(stage.sites, now.bits, picked=site), look=_BARS)
            figure(bars, key="training-allocation", on_pick=pick_site)
            if len(stage.limits):
                st.markdown("**The budget at each moment**")
                figure(drawn.limits(stage.limits, training.epochs, at=now.epoch))

    found = [drawn.kept(stage.limits) if len(stage.limits) else "", drawn.changes(moments)]
    if any(found):
        st.markdown(" ".join(filter(None, found)))
    replayed(f"{one.id}-bits", [each.epoch for each in told], draw, lambda n: _moved(stage, n), lambda n: f"{n + 1}")


def _spent(stage: Stage, number: int) -> str:
    cost = stage.allocations[number].cost
    known = [limit for limit in (*stage.budget, "kb") if limit in cost]
    return ", ".join(f"{cost[limit]:.3g} {drawn.NAMES.get(limit, limit)}" for limit in dict.fromkeys(known))


def _moved(stage: Stage, number: int) -> str:
    """'Allocation 3 of 14, epoch 1.5: 6 sites changed.'"""
    one = stage.allocations[number]
    sites = f"{one.changed} site{'' if one.changed == 1 else 's'} changed" if one.changed else "nothing changed"
    changed = sites if number else "the start"
    frozen = ", frozen" if one.frozen else ""
    return f"Allocation {number + 1} of {len(stage.allocations)}, epoch {one.epoch:.3g}: {changed}{frozen}"


def _ranges(profile: Profile, one: Known, training: Training) -> None:
    stage = _ranging(training)[-1]
    site = _picker(profile, stage)
    weights = stage.weights(site)
    ends = stage.ends[stage.ends["site"] == site]
    moments = weights or ends.to_dict("records")
    epochs = [float(each["epoch"]) for each in moments]

    def draw(number: int) -> None:
        if not weights:  # of an activation no more is told
            over_time(number)
            return
        left, right = st.columns(2, gap="medium")
        with left:
            st.markdown("**Latent weights and their grid**")
            figure(drawn.latent(weights, number, site), key="training-latent")
        with right:
            over_time(number)

    def over_time(number: int) -> None:
        st.markdown("**The range over the epochs**")
        figure(drawn.ends(ends, site, training.epochs, at=epochs[number]), key="training-ends")

    def told(number: int) -> str:
        now = moments[number]
        return f"Epoch {epochs[number]:.3g}: from {small(now['lo'])} to {small(now['hi'])}"

    if not len(ends):
        st.info(f"Nothing was told of the range of {site}: pick another site.", icon=":material/info:")
        return
    replayed(f"{one.id}-ranges", epochs, draw, told, lambda n: f"{epochs[n]:g}")


def _picker(profile: Profile, stage: Stage) -> str:
    """The site that is picked on all pages, of those that have learned a range."""
    names = list(dict.fromkeys(stage.ends["site"]))
    instead.asked("site", lambda text: text in set(profile.sites["site"]))
    wanted = st.session_state.get("site") or st.query_params.get("site")
    weights = set(stage.sites.loc[stage.sites["kind"] == "weight", "site"])
    first = next((site for site in names if site in weights), names[0])
    if wanted is not None and wanted not in names:
        st.session_state["site"] = first
    site = str(st.selectbox("site", names, index=names.index(first), key="site", bind="query-params"))
    instead.tell("site", site, lambda text: f"The link asks for the site {text}, which is not here; this is {site}.")
    return site


def _site(profile: Profile, stage: Stage) -> str:
    """The site that is picked on all pages, as far as this training knows it."""
    instead.asked("site", lambda text: text in set(profile.sites["site"]))
    wanted = st.session_state.get("site") or st.query_params.get("site")
    site = str(wanted) if wanted in set(stage.sites["site"]) else ""
    if not site:  # no widget drops the site of the address here: it may stand there long after another was picked
        instead.tell("site", "", lambda text: f"The link asks for the site {text}, which is not here; none is picked.")
    return site


def _share(name: str) -> View:
    def draw(profile: Profile, one: Known, training: Training) -> None:
        figure(drawn.shares(name, training.shares(name), training.epochs, training.parts))

    return draw


def _rate(profile: Profile, one: Known, training: Training) -> None:
    figure(drawn.rate(training.losses, training.epochs, training.parts))


def _allocating(training: Training) -> list[Stage]:
    return [stage for stage in training.stages if stage.allocations]


def _ranging(training: Training) -> list[Stage]:
    return [stage for stage in training.stages if len(stage.ends)]


_VIEWS: dict[str, tuple[Callable[[Training], bool], View]] = {
    "bits over time": (lambda training: bool(_allocating(training)), _bits),
    "learned ranges": (lambda training: bool(_ranging(training)), _ranges),
    "oscillation": (lambda training: len(training.shares("oscillation")) > 0, _share("oscillation")),
    "sparsity": (lambda training: len(training.shares("sparsity")) > 0, _share("sparsity")),
    "learning rate": (lambda training: len(training.losses) > 0, _rate),
    "compare": (lambda training: True, compare),
}
