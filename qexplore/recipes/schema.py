"""A recipe: an ordered list of steps with their settings, plain data that all doors share. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from qexplore.errors import QexploreError, UnknownName
from qexplore.plain import interval
from qexplore.registry import key_of

QUANTIZER_KEYS = ("bits", "symmetric", "signed", "granularity", "power_of_two")
KEYS = ("name", "title", "weights", "activations", "steps", "sites")
LOGITS = "logits"  # the site on whose grid the network's output lies, whatever its name
FIRST, LAST = "first", "last"  # the first and the last weights of the network, whatever their layers' names
# The activations that enter no multiply-accumulate of a quantized layer, but for the logits: mostly terms of sums.
# Where bits are allocated, what is tied to them, the other term, has their bits too.
NO_MACS = "no-macs"
ALIASES = (LOGITS, FIRST, LAST, NO_MACS)
POST_TRAINING, TRAINING = "post-training", "training"
TRAINS = ("prune", "qat", "qbitopt")  # steps that train
NEEDED = ("fold-bn", "weight-ranges", "activation-ranges")
NEEDS_WEIGHTS = ("adaround", "correct-bias")
ON_GRIDS = ("qat", "qbitopt")  # steps that train quantized weights
SET_BITS = "set-bits"
# What QBitOpt is told of the bits that it gives out; the rest is its training's.
ALLOCATION = (
    *("weight_bits", "activation_bits", "kb", "gbops", "least", "most", "exact"),
    *("every", "wait", "freeze", "gradients", "memory", "error"),
)
MAX_BYTES = 64_000
LONGEST = 200  # letters of a name
HUGE = 10**18  # what torch can count up to, with a margin


class BadRecipe(QexploreError):
    """A recipe that no reading makes sense of."""


@dataclass(frozen=True)
class StepSetting:
    """A step's name and its keyword arguments."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_document(self) -> str | dict[str, Any]:
        return {self.name: dict(self.settings)} if self.settings else self.name


@dataclass(frozen=True)
class Recipe:
    """Steps in order, and the quantizers of weights and activations as keyword arguments of `Spec`.

    sites: what is different at single sites, by name or as one of ALIASES: bits, range [lo, hi], or method (a range
    estimator) with its options.
    """

    name: str
    weights: Mapping[str, Any]
    activations: Mapping[str, Any]
    steps: tuple[StepSetting, ...]
    title: str = ""
    sites: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @staticmethod
    def load(source: str | Path | Mapping[str, Any] | Recipe) -> Recipe:
        """A preset by name, a YAML file by path (it ends in .yaml or .yml, or has a folder in it), or a document.

        Raises UnknownName for a preset that does not exist, BadRecipe for a file that is no recipe.
        """
        if isinstance(source, Recipe):
            return source
        if isinstance(source, Mapping):
            return Recipe.from_document(source)
        text = str(source)
        if text.endswith((".yaml", ".yml")) or "/" in text:
            return _read(Path(text))
        known = _presets()
        if text not in known:
            raise UnknownName("preset", text, sorted(known))
        return Recipe.from_document(_parse(known[text][1].read_text(), text))

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> Recipe:
        """The recipe of a document with the keys name, title, weights, activations, steps; BadRecipe says what is
        wrong.
        """
        _known_keys(document, KEYS, "the recipe")
        name = str(document.get("name") or "unnamed")
        if len(name) > LONGEST:
            raise BadRecipe(f"The name of the recipe has {len(name):,} letters: shorten it to {LONGEST} at most.")
        steps = document.get("steps")
        if not isinstance(steps, Sequence) or isinstance(steps, str) or not steps:
            raise BadRecipe(f"The recipe {name!r} has no steps: give the key 'steps' a list of step names.")
        return Recipe(
            name,
            _quantizer(document.get("weights"), "weights"),
            _quantizer(document.get("activations"), "activations"),
            tuple(_step(entry) for entry in steps),
            str(document.get("title") or ""),
            _sites(document.get("sites")),
        )

    def to_document(self) -> dict[str, Any]:
        """The recipe as JSON and YAML hold it."""
        document = {
            "name": self.name,
            "title": self.title,
            "weights": dict(self.weights),
            "activations": dict(self.activations),
            "steps": [step.to_document() for step in self.steps],
        }
        return document | ({"sites": {name: dict(own) for name, own in self.sites.items()}} if self.sites else {})

    def to_yaml(self) -> str:
        """The recipe as a file holds it."""
        text: str = yaml.safe_dump(self.to_document(), sort_keys=False, allow_unicode=True)
        return text

    @property
    def optional(self) -> tuple[str, ...]:
        """Names of the steps without which everything is quantized still."""
        needed = {key_of(name) for name in NEEDED}
        return tuple(step.name for step in self.steps if key_of(step.name) not in needed)

    @property
    def trains(self) -> bool:
        """Whether one of its steps is a training."""
        return any(key_of(step.name) in TRAINS for step in self.steps)

    def without(self, names: Iterable[str]) -> Recipe:
        """The recipe less the steps of these names, and less those that cannot stand without them.

        Raises UnknownName for a step that the recipe does not have, BadRecipe where none is left.
        """
        own, names = {key_of(step.name): step.name for step in self.steps}, list(names)
        for name in names:
            if key_of(name) not in own:
                raise UnknownName(f"step of the recipe {self.name!r} called", name, list(own.values()))
        left_out = {key_of(name) for name in names}
        if key_of("weight-ranges") in left_out:
            left_out |= {key_of(name) for name in NEEDS_WEIGHTS}
        steps = tuple(step for step in self.steps if key_of(step.name) not in left_out)
        if not steps:
            raise BadRecipe(f"The recipe {self.name!r} has no steps but these: keep at least one.")
        return replace(self, steps=steps)

    def called(self, name: str) -> Recipe:
        """The recipe under another name, shortened where it could not be read again; its title goes."""
        return replace(self, name=name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…", title="")

    def with_bits(self, bits: Mapping[str, int]) -> Recipe:
        """The recipe with an allocation, other bits at single sites, given as late as the order of its steps allows.

        That is at the end, with what the recipe has calibrated, so that it measures what the prepared network does at
        these bits; or before the first step that fits weights to their bits, which then does so at these (`refits`).
        A training keeps them, also one that changes the bits of others; QBitOpt has none left to give out, and trains
        as 'qat' does.
        """
        late = self._first(ON_GRIDS)
        early = min(self._first(NEEDS_WEIGHTS), late)
        first = {site: given for site, given in bits.items() if early < late and is_weight(site)}
        steps = [_without_allocation(step) for step in self.steps]
        for at, given in ((late, {site: bits[site] for site in bits if site not in first}), (early, first)):
            steps[at:at] = [StepSetting(SET_BITS, given)] if given else []
        held = {site: {**self.sites.get(site, {}), "bits": bits[site]} for site in bits if _changes(steps, site)}
        return replace(self, steps=tuple(steps), sites={**self.sites, **held})

    @property
    def refits(self) -> str:
        """Where `with_bits` changes what weights are fitted to: a sentence that says so; else nothing."""
        fits = {key_of(name) for name in (*NEEDS_WEIGHTS, *ON_GRIDS)}
        names = list(dict.fromkeys(step.name for step in self.steps if key_of(step.name) in fits))
        if not names:
            return ""
        return (
            f"The recipe does {' and '.join(names)} anew at these bits, which the network that was scored has had done "
            "at the recipe's own, so that the two can differ in accuracy."
        )

    def _first(self, names: Iterable[str]) -> int:
        """The place of the first step of these names; the end where there is none."""
        keys = {key_of(name) for name in names}
        return next((at for at, step in enumerate(self.steps) if key_of(step.name) in keys), len(self.steps))

    def with_settings(self, settings: Mapping[str, Any]) -> Recipe:
        """The recipe with `settings` changed: {"weights.bits": 4, "activation-ranges.method": "percentile"}; strings
        are read as YAML.
        """
        recipe = self
        for key, value in settings.items():
            recipe = recipe._with(key, value_of(key, value) if isinstance(value, str) else value)
        return recipe

    def _with(self, key: str, value: Any) -> Recipe:
        where, dot, setting = key.partition(".")
        if where == "sites":
            where, dot, setting = setting.rpartition(".")  # names of sites have dots in them
            if where and setting:
                own = {**self.sites.get(where, {}), setting: value}
                return replace(self, sites=_sites({**self.sites, where: own}))
        places = ("weights", "activations", *(step.name for step in self.steps))
        if not dot or not setting:
            raise BadRecipe(f"The setting {key!r} is not of the form step.key: write weights.bits, for example.")
        if where not in places:
            raise UnknownName(f"step of the recipe {self.name!r} called", where, places)
        if where in ("weights", "activations"):
            changed = _quantizer({**getattr(self, where), setting: _plain(value, setting)}, where)
            return replace(self, weights=changed) if where == "weights" else replace(self, activations=changed)
        changed = {setting: _plain(value, setting)}
        steps = tuple(StepSetting(s.name, {**s.settings, **changed}) if s.name == where else s for s in self.steps)
        return replace(self, steps=steps)


def is_weight(site: str) -> bool:
    """Whether a site of this name holds weights: the sites of activations are called 'input' or end in '.out'."""
    return site.endswith(".weight")


def _without_allocation(step: StepSetting) -> StepSetting:
    """The step; the training of QBitOpt alone, in place of QBitOpt."""
    if key_of(step.name) != key_of("qbitopt"):
        return step
    return StepSetting("qat", {key: value for key, value in step.settings.items() if key not in ALLOCATION})


def _changes(steps: Iterable[StepSetting], site: str) -> bool:
    """Whether a training changes the bits of `site`, unless it has bits of its own."""
    setting = "weight_bits" if is_weight(site) else "activation_bits"
    return any(key_of(step.name) == key_of("qat") and step.settings.get(setting) for step in steps)


def value_of(key: str, text: str) -> Any:
    """What the setting `key` is where it is given as a text: read as YAML."""
    return _yaml(text, f"the value of {key!r}")


def presets(kind: str = "") -> tuple[str, ...]:
    """Names of the recipes that come with qexplore: of a kind, POST_TRAINING or TRAINING, or all."""
    return tuple(sorted(name for name, (of, _) in _presets().items() if kind in ("", of)))


def _presets() -> dict[str, tuple[str, Any]]:
    """Name → kind and file."""
    folder = resources.files("qexplore.recipes") / "presets"
    homes = {POST_TRAINING: folder, TRAINING: folder / "training"}
    return {
        Path(file.name).stem: (kind, file)
        for kind, home in homes.items()
        for file in home.iterdir()
        if file.name.endswith(".yaml")
    }


def _read(path: Path) -> Recipe:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise BadRecipe(f"The recipe file {str(path)!r} is larger than {MAX_BYTES // 1000} KB: that is no recipe.")
        text = content.decode("utf-8")
    except BadRecipe:
        raise
    except (OSError, ValueError) as error:  # a ValueError: no UTF-8, or a path that no file can have
        raise BadRecipe(f"The recipe file {str(path)!r} cannot be read ({error}): check the path.") from error
    return Recipe.from_document(_parse(text, str(path)))


def _parse(text: str, source: str) -> Mapping[str, Any]:
    document = _yaml(text, f"the recipe {source!r}")
    if not isinstance(document, Mapping):
        raise BadRecipe(f"The recipe {source!r} holds no keys: it needs {', '.join(KEYS)}.")
    return document


class _Loader(yaml.SafeLoader):
    """Plain values only, and no aliases: a few of them unfold without end."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("a value is written out, not repeated by an alias (*name)")
        return super().compose_node(parent, index)


# YAML 1.1 takes 1e-3, which everybody writes, for a word.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _yaml(text: str, what: str) -> Any:
    """The value that `text` writes; BadRecipe where it is no YAML, or uses aliases."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # impossible dates and numbers are a ValueError
        raise BadRecipe(f"What stands in {what} is not YAML: {' '.join(str(error).split())}.") from error


def _plain(value: Any, where: str) -> Any:
    """`value` where JSON can hold it: numbers, words, true, false, null, and lists of them."""
    if isinstance(value, list | tuple):
        return [_plain(each, where) for each in value]
    if value is None or isinstance(value, str) or (isinstance(value, int | float) and -HUGE < value < HUGE):
        return value
    if isinstance(value, int | float):
        raise BadRecipe(f"The setting {where!r} is a finite number of at most 18 digits; not {str(value)[:40]}.")
    raise BadRecipe(f"The setting {where!r} is a number, a word, true, false or a list of them; not {value!r}.")


def _settings(settings: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): _plain(value, str(key)) for key, value in settings.items()}


def _known_keys(document: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in document:
        if key not in known:
            raise UnknownName(f"key of {where} called", key, known)


def _quantizer(settings: Any, where: str) -> Mapping[str, Any]:
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        raise BadRecipe(f"The key {where!r} of the recipe holds settings such as bits: 8; not {settings!r}.")
    _known_keys(settings, QUANTIZER_KEYS, f"{where!r} in the recipe")
    return _settings(settings)


def _sites(entries: Any) -> Mapping[str, Mapping[str, Any]]:
    """What is set for single sites; BadRecipe where it cannot be meant."""
    if entries is None:
        return {}
    if not isinstance(entries, Mapping) or not all(isinstance(own, Mapping) and own for own in entries.values()):
        raise BadRecipe("The key 'sites' of the recipe holds settings by site, such as 'logits: {bits: 8}'.")
    sites = {str(name): _settings(own) for name, own in entries.items()}
    for name, own in sites.items():
        if "range" in own and ("method" in own or interval(own["range"]) is None):
            raise BadRecipe(f"The site {name!r} takes a range [lo, hi], lo below hi, or a method; not {own!r}.")
    return sites


def _step(entry: Any) -> StepSetting:
    if isinstance(entry, str):
        return StepSetting(entry)
    if isinstance(entry, Mapping) and len(entry) == 1:
        name, settings = next(iter(entry.items()))
        if settings is None or isinstance(settings, Mapping):
            return StepSetting(str(name), _settings(settings or {}))
    raise BadRecipe(f"A step is a name, or one name with its settings ('equalize: {{sweeps: 20}}'); not {entry!r}.")
