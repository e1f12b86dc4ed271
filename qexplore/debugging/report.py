"""A diagnosis as a report in Markdown, and its words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qexplore.debugging.words import nats, percent, probability
from qexplore.escaping import escaped
from qexplore.metric import MIOU, named

Document = Mapping[str, Any]
LISTED = 10  # sites in the table of the report
WORDS = {
    "clipped-range": "the range clips",
    "wide-range": "the grid is far wider than the values",
    "outlier-values": "a few values set the range",
    "too-few-bits": "fewer bits than the others",
    "sensitive-site": "too sensitive for its bits",
    "outlier-channel": "an outlier among channels that share a grid",
    "unbalanced-channels": "unbalanced channels share a grid",
    "biased-error": "rounding errors lean one way",
    "network-changed": "a step changed the function",
    "unlike-images": "calibration images unlike those in use",
    "bits-everywhere": "too coarse everywhere",
}


def markdown(document: Document) -> str:
    """The report of a diagnosis, from its document; the same document gives the same text."""
    recipe, measure = escaped(document["recipe"]["name"]), named(document["accuracy"].get("metric"))
    parts = [
        f"# Debugging {recipe} on {document['task']}",
        verdict(document),
        f"Task {document['task']}, recipe {recipe}, seed {document['seed']}, after the debugging flowchart of "
        "the white paper (figure 9): the float network after all steps, weights and activations apart, single sites. "
        f"Sites were compared on calibration images without labels; each {measure} is that on the evaluation images.",
        "## Weights or activations?",
        _checks(document["checks"], measure),
        "## Site by site",
        _sites(document),
        "## What was found",
        *([_group(cause, found) for cause, found in grouped(document)] or ["Nothing."]),
    ]
    if document["fixes"]:
        parts += ["## What repairs it", _fixes(document, measure)]
    if document["unexplained"]:
        parts += ["## What could not be explained", unexplained(document)]
    return "\n\n".join(parts) + "\n"


def verdict(document: Document) -> str:
    """The outcome in a sentence or two."""
    before, now = (percent(document[key]["value"], 1) for key in ("fp32", "accuracy"))
    now = f"mean IoU {now}" if document["accuracy"].get("metric") == MIOU else now
    if document["healthy"]:
        return f"Healthy: {now} (FP32 {before}), and no fault was found."
    told = [f"{WORDS[cause]} ({_places(found)})" for cause, found in grouped(document)]
    return f"{now} (FP32 {before}). Found: {'; '.join(told)}."


def grouped(document: Document) -> list[tuple[str, list[Document]]]:
    """Findings by cause, in the order of the first of each."""
    groups: dict[str, list[Document]] = {}
    for finding in document["findings"]:
        groups.setdefault(finding["cause"], []).append(finding)
    return list(groups.items())


def place(finding: Document) -> str:
    """Where a finding lies."""
    return finding["site"] or (f"step {finding['step']}" if finding["step"] else "the whole network")


def fix_rows(document: Document) -> list[tuple[str, str, str, str]]:
    """Rows (fix, accuracy, its interval and images, divergence), the best first."""
    return [(fix["label"], *_measured(fix)) for fix in document["fixes"]]


def unexplained(document: Document) -> str:
    """Which sites do harm and show no cause, and what remains to be done."""
    names = document["unexplained"]
    kinds = {row["site"]: row["kind"] for row in document["sites"]}
    weights = any(finding["site"] and kinds[finding["site"]] == "weight" for finding in document["findings"])
    told = weights and any(kinds[name] == "activation" for name in names)
    after = " Some lie behind weights that were found: repair those first and look again." if told else ""
    return (
        f"Alone these move the softmax, and no other range, grid or bias of theirs changes much: {', '.join(names)}. "
        f"More bits there or training with quantization remain.{after}"
    )


def _places(findings: Sequence[Document]) -> str:
    names = [place(finding) for finding in findings]
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _checks(checks: Iterable[Document], measure: str) -> str:
    rows = [
        (
            row["name"],
            percent(row["accuracy"], 1),
            _interval(row),
            nats(row["divergence"]),
            f"+{row['gained']} −{row['lost']} ({probability(row['p'])})" if row["name"] != "fp32" else "",
        )
        for row in checks
    ]
    heads = ("network", measure, "95 % interval", "divergence from FP32, nats", "images gained and lost")
    return _table(heads, rows)


def _sites(document: Document) -> str:
    sites = sorted(document["sites"], key=lambda row: -row["divergence"])
    causes = {one["site"]: WORDS[one["cause"]] for one in document["findings"] if one["site"]}
    rows = [
        (
            row["site"],
            row["bits"],
            nats(row["divergence"]),
            percent(row["share"]),
            causes.get(row["site"], ""),
        )
        for row in sites[:LISTED]
    ]
    said = (
        "Each site quantized alone, all others real: mean KL divergence of the softmax from that of the real network, "
        "and its share of the sum over all sites."
    )
    more = f"\n\nThe other {len(sites) - LISTED} sites do less." if len(sites) > LISTED else ""
    return f"{said}\n\n{_table(('site', 'bits', 'divergence, nats', 'share', 'cause'), rows)}{more}"


def _group(cause: str, findings: Sequence[Document]) -> str:
    lines = [f"### {WORDS[cause][:1].upper()}{WORDS[cause][1:]}", ""]
    lines += [f"- **{place(one)}** ({nats(one['divergence'])} nats): {one['text']}" for one in findings]
    labels = dict.fromkeys(fix["label"] for one in findings for fix in one["fixes"])
    repairs = f"Repairs, measured below: {'; '.join(labels)}." if labels else "No change of the recipe repairs it."
    return "\n".join([*lines, "", repairs])


def _fixes(document: Document, measure: str) -> str:
    said = "Each is a complete recipe, carried out and measured by itself; least divergence first."
    if sum(fix["accuracy"] is not None for fix in document["fixes"]) > 1:
        said += " The best of several is picked on the same evaluation images, which flatters it a little."
    return f"{said}\n\n{_table(('fix', measure, '95 % interval', 'divergence, nats'), fix_rows(document))}"


def _measured(fix: Document) -> tuple[str, str, str]:
    found = fix["accuracy"]
    if found is None:
        return "not measured", "", ""
    return percent(found["value"], 1), _interval(found), nats(fix["divergence"])


def _interval(accuracy: Document) -> str:
    return f"{100 * accuracy['low']:.1f}–{100 * accuracy['high']:.1f} %, {accuracy['images']} images"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
