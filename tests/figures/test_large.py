"""A network with more than 200 sites: what its figures weigh, and that all of it still shows."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from qexplore import figures
from qexplore.figures import ranges
from qexplore.plain import plain
from qexplore.runs.profiles import Profile
from tests.figures.large import WIDEST, large

MOST = 200_000  # bytes of JSON a figure


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    return large(tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="module")
def everything(profile: Profile) -> list[figures.Figure]:
    table = profile.sensitivity
    fit, at = table[table["metric"] == "fit"], profile.ranges[profile.ranges["bits"] == 4]
    site, widest = "features.3.2.block.1.0.weight", str(profile.channels["site"].iloc[-1])
    values, bits = profile.tensor(site), dict.fromkeys(profile.sites["site"], 4)
    return [
        figures.heatmap(fit, metric="fit", picked=site, bits=bits),
        figures.ranking(fit, 2, metric="fit", picked=site),
        figures.agreement(table, "fit", 4, picked=site),
        figures.losses(fit, site, 4, metric="fit"),
        figures.allocation(profile.sites, bits, locked=[site], picked=site),
        figures.channels(profile.channels, widest),
        figures.histogram(values, figures.grid(-3, 3, 4), site),
        figures.culprits(pd.DataFrame(profile.diagnoses["w8a8"]["sites"])),
        ranges.equalized(profile.channels, widest),
        ranges.imbalance(profile.channels, profile.sites, picked=site),
        ranges.contest(at, profile.sites, over="accuracy", picked=site),
        ranges.brackets(values, at[at["site"] == site], site),
    ]


def weight(figure: figures.Figure) -> int:
    """Bytes of the figure as JSON, its data inside."""
    if isinstance(figure, figures.Still):
        return len(figure.plot.to_json())
    assert isinstance(figure, figures.Live)
    return len(json.dumps(plain(figure.document())))


def test_no_figure_of_a_large_network_weighs_more_than_200_kb(
    profile: Profile, everything: list[figures.Figure]
) -> None:
    assert len(profile.sites) >= 220
    assert profile.channels["site"].value_counts().max() == WIDEST
    assert {f.name: weight(f) for f in everything if weight(f) > MOST} == {}


def test_every_cell_of_a_large_heat_map_is_on_its_way(profile: Profile) -> None:
    fit = profile.sensitivity[profile.sensitivity["metric"] == "fit"]
    rows = figures.heatmap(fit, metric="fit").tables["sites"].set_index("site")
    sent = fit.apply(lambda row: rows.loc[row["site"], str(row["bits"])], axis=1)
    assert sent.to_numpy() == pytest.approx(fit["loss"].to_numpy(), rel=1e-3)


def test_lines_that_stand_for_many_channels_span_all_of_them(profile: Profile) -> None:
    site = str(profile.channels["site"].iloc[-1])
    rows = profile.channels[profile.channels["site"] == site]
    drawn = ranges.equalized(profile.channels, site)
    before = drawn.tables["channels"].query("when == 'before'")
    assert len(before) <= 300
    assert (before["lo"].min(), before["hi"].max()) == (rows["lo"].min(), rows["hi"].max())
    assert "8 neighbouring channels" in drawn.look
    assert len(drawn.data) == WIDEST


def test_a_band_keeps_the_widest_and_the_narrowest_channel(profile: Profile) -> None:
    site = str(profile.channels["site"].iloc[-1])
    drawn = figures.channels(profile.channels, site)
    rows, shown = drawn.data["channel"], drawn.tables["channels"]["channel"]
    assert (shown.iloc[0], shown.iloc[-1]) == (rows.iloc[0], rows.iloc[-1])
    assert len(shown) < len(rows)


def test_bars_without_room_for_numbers_have_a_legend(profile: Profile) -> None:
    bits = dict.fromkeys(profile.sites["site"], 4)
    many, few = figures.allocation(profile.sites, bits), figures.allocation(profile.sites.head(20), bits)
    assert many.spec["layer"][0]["encoding"]["color"]["legend"]
    assert few.spec["layer"][0]["encoding"]["color"]["legend"] is None
    assert len(few.spec["layer"]) == len(many.spec["layer"]) + 2


def test_the_part_of_a_graph_around_a_site_says_what_was_cut_off(profile: Profile) -> None:
    drawn = profile.graph
    nodes, edges = figures.near(drawn["nodes"], drawn["edges"], "features.3.2.block.1.0.out", 20)
    assert nodes[0]["name"].endswith("operations before")
    assert nodes[-1]["name"].endswith("operations after")
    cut = sum(int(end["name"].split()[0]) for end in (nodes[0], nodes[-1]))
    assert cut + 20 == len(drawn["nodes"])
    assert len(edges) == 21
    assert {name for edge in edges for name in edge} <= {node["name"] for node in nodes}
    assert figures.near(drawn["nodes"], drawn["edges"], "input", 999)[0] == drawn["nodes"]
