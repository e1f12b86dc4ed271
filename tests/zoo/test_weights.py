"""Weights that a user brings are read whatever wrapped them, checked before they are used, and never run as code."""

import json
import math
import os
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from qexplore.zoo import CheckpointError
from qexplore.zoo.matching import other_head, put_weights
from qexplore.zoo.weights import Weights, read_weights


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 5))


def state() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return network().state_dict()


def same(model: nn.Module, wanted: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state().items()}


WRAPPED = {
    "bare": state(),
    "state_dict": {"epoch": 3, "state_dict": state()},
    "model": {"model": state(), "optimizer": {"lr": 0.1}},
    "model_state_dict": {"model_state_dict": state(), "loss": 0.5},
    "net": {"net": state(), "acc": 93.1},
    "ema": {"ema": {"module": state()}},
    "data parallel": {"state_dict": prefixed("module.")},
    "lightning": {"state_dict": prefixed("model."), "hyper_parameters": {}},
    "compiled": prefixed("_orig_mod."),
    "compiled and parallel": {"model": prefixed("module._orig_mod.")},
    "parallel of a class": {"state_dict": prefixed("module.model.")},
    "a wrapper of one's own": prefixed("trunk.body."),
    "three deep": {"model": prefixed("model.module.net.")},
    "in two ways": {("net." if k.startswith("0.") else "module.model.") + k: v for k, v in state().items()},
    "averaged": prefixed("module.") | {"n_averaged": torch.tensor(7)},
    "parameters": {name: nn.Parameter(v) if v.is_floating_point() else v for name, v in state().items()},
}


@pytest.mark.parametrize("case", WRAPPED)
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_arrive_whatever_wrapped_them(case: str, zipped: bool, tmp_path: Path) -> None:
    torch.save(WRAPPED[case], tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    model = network()
    put_weights(model, read_weights(tmp_path / "w.pth"), "mine")
    assert same(model, state())


def test_a_prefix_that_is_the_networks_own_stays() -> None:
    class Parallel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = network()

    for prefix in ("model.", "module.model.", "module.model.model."):
        model = Parallel()
        put_weights(model, Weights(Path("w.pt"), prefixed(prefix)), "mine")
        assert same(model.model, state())


def test_safetensors_and_torch_give_the_same_weights_under_any_ending(tmp_path: Path) -> None:
    save_file(prefixed("module."), tmp_path / "a.pt")
    torch.save(state(), tmp_path / "b.safetensors")
    for file in ("a.pt", "b.safetensors"):
        model = network()
        put_weights(model, read_weights(tmp_path / file), "mine")
        assert same(model, state())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32_with_a_note(kind: torch.dtype, tmp_path: Path) -> None:
    torch.save({k: v.to(kind) if v.is_floating_point() else v for k, v in state().items()}, tmp_path / "w.pt")
    model = network()
    notes = put_weights(model, read_weights(tmp_path / "w.pt"), "mine")
    assert {v.dtype for v in model.parameters()} == {torch.float32}
    assert torch.equal(model[0].weight, state()["0.weight"].to(kind).float())
    assert any(str(kind).removeprefix("torch.") in note and "float32" in note for note in notes)


def test_counters_of_batches_may_be_absent(tmp_path: Path) -> None:
    torch.save({k: v for k, v in state().items() if "num_batches" not in k}, tmp_path / "w.pt")
    put_weights(network(), read_weights(tmp_path / "w.pt"), "mine")


def refused(model: nn.Module, entries: dict[str, Tensor]) -> CheckpointError:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as told:
        put_weights(model, Weights(Path("w.pt"), entries), "torchvision:mine")
    assert same(model, before)
    assert "\n" not in str(told.value)
    assert "w.pt" in str(told.value)
    assert "torchvision:mine" in str(told.value)
    return told.value


def test_a_report_counts_and_names_what_does_not_fit() -> None:
    odd = state() | {f"extra.{i}": torch.zeros(1) for i in range(5)} | {"0.weight": torch.zeros(2, 3, 3, 3)}
    del odd["3.bias"]
    problem = refused(network(), odd)
    assert problem.missing == ("3.bias",)
    assert problem.unexpected == tuple(f"extra.{i}" for i in range(5))
    assert problem.misshapen == ("0.weight",)
    for words in (
        "1 of 9 entries is missing (3.bias)",
        "5 are unexpected (extra.0, extra.1, extra.2 and 2 more)",
        "1 is misshapen (0.weight is float32 [2, 3, 3, 3], not float32 [2, 1, 3, 3])",
    ):
        assert words in str(problem)


def test_weights_of_another_architecture_are_told_as_such() -> None:
    other = nn.Sequential(*[nn.Sequential(nn.Linear(2, 2)) for _ in range(6)]).state_dict()
    assert "belong to another architecture" in str(refused(network(), other))


def test_nan_and_integer_weights_are_refused() -> None:
    assert "NaN or infinite values in 3.bias" in str(
        refused(network(), state() | {"3.bias": torch.full((5,), torch.nan)})
    )
    counted = refused(network(), state() | {"3.bias": torch.zeros(5, dtype=torch.int8)})
    assert "3.bias is int8 [5], not float32 [5]" in str(counted)


def test_a_mask_may_hold_infinity_and_a_statistic_may_not() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model.register_buffer("mask", torch.full((2, 2), -math.inf).triu(1))
    put_weights(model, Weights(Path("w.pt"), dict(model.state_dict())), "mine")
    assert "infinite values in 1.running_var" in str(
        refused(model, model.state_dict() | {"1.running_var": torch.full((2,), math.inf)})
    )
    assert "infinite values in mask" in str(refused(model, model.state_dict() | {"mask": torch.full((2, 2), math.nan)}))


def test_another_number_of_classes_is_recognized_as_such() -> None:
    head = state() | {"3.weight": torch.zeros(7, 72), "3.bias": torch.zeros(7)}
    assert other_head(head, network()) == (7, 5)
    assert other_head({"module." + k: v for k, v in head.items()}, network()) == (7, 5)
    assert other_head(state(), network()) is None
    assert other_head(head | {"3.bias": torch.zeros(8)}, network()) is None
    assert other_head(head | {"3.weight": torch.zeros(7, 73)}, network()) is None
    assert "7 classes where the network has 5" in str(refused(network(), head))


def test_lazy_layers_are_asked_to_see_an_image_first(tmp_path: Path) -> None:
    model = nn.Sequential(nn.LazyConv2d(2, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(5))
    with pytest.raises(CheckpointError, match=r"mine has lazy layers.*run it once where it is made"):
        put_weights(model, Weights(tmp_path / "w.pt", state()), "mine")
    model(torch.zeros(1, 1, 8, 8))
    put_weights(model, Weights(tmp_path / "w.pt", state()), "mine")
    assert same(model, state())


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("was-run"),)


class Shell:
    """Calls what torch.load blocks by name."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch was-run",)


def bad_files(folder: Path) -> dict[str, str]:
    torch.save(state(), folder / "whole.pt")
    whole = (folder / "whole.pt").read_bytes()
    save_file(state(), folder / "whole.safetensors")
    (folder / "cut.pt").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.safetensors").write_bytes((folder / "whole.safetensors").read_bytes()[:-9])
    (folder / "header.safetensors").write_bytes(struct.pack("<Q", 1 << 40) + b"{" + bytes(100))
    for name, sides in (("wide", [0, 1 << 63]), ("negative", [-1, 4]), ("fractional", [0.5]), ("endless", [1 << 70])):
        entry = {"a": {"dtype": "F32", "shape": sides, "data_offsets": [0, 0]}}
        head = json.dumps(entry).encode()
        (folder / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(head)) + head)
    (folder / "empty.pt").write_bytes(b"")
    (folder / "text.pt").write_text("these are no weights")
    (folder / "hostile.pt").write_bytes(pickle.dumps(Hostile(), protocol=2))
    torch.save({"state_dict": Hostile()}, folder / "hostile-zip.pt")
    torch.save({"state_dict": Shell()}, folder / "shell.pt")
    torch.save(network(), folder / "module.pt")
    torch.save([torch.zeros(2)], folder / "list.pt")
    torch.save({"epoch": 3}, folder / "epoch.pt")
    torch.save({"0.weight": torch.zeros(2, 2).to_sparse()}, folder / "sparse.pt")
    with zipfile.ZipFile(folder / "photos.pt", "w") as archive:
        archive.writestr("a.txt", "no weights")
    return {
        "cut.pt": "is damaged",
        "cut.safetensors": "is damaged",
        "header.safetensors": "is damaged",
        "wide.safetensors": "is damaged",
        "negative.safetensors": "is damaged",
        "fractional.safetensors": "is damaged",
        "endless.safetensors": "is damaged",
        "empty.pt": "is damaged",
        "text.pt": "is damaged",
        "photos.pt": "is damaged",
        "hostile.pt": "could run code",
        "hostile-zip.pt": "could run code",
        "shell.pt": "could run code",
        "module.pt": "could run code",
        "list.pt": "holds a list, not named tensors",
        "epoch.pt": r"holds no named tensors \(found: epoch\)",
        "sparse.pt": "sparse",
        "absent.pt": "There is no file of weights",
    }


def test_what_is_no_file_of_weights_gets_one_sentence_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, sentence in bad_files(tmp_path).items():
        with pytest.raises(CheckpointError, match=sentence) as told:
            read_weights(tmp_path / name)
        assert "\n" not in str(told.value), name
        assert name in str(told.value)
    assert not Path("was-run").exists()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(1 << 22))
        archive.writestr("archive/data.pkl", b"")
    assert (tmp_path / "bomb.pt").stat().st_size < 10_000
    with pytest.raises(CheckpointError, match="4,194,304 bytes when unpacked, more than the 4,000,000 allowed"):
        read_weights(tmp_path / "bomb.pt", largest=4_000_000)


def test_a_number_repeated_a_billion_times_is_refused(tmp_path: Path) -> None:
    torch.save({"0.weight": torch.zeros(1).expand(1 << 30)}, tmp_path / "wide.pt")
    assert (tmp_path / "wide.pt").stat().st_size < 10_000
    with pytest.raises(CheckpointError, match="4,294,967,296 bytes when unpacked"):
        read_weights(tmp_path / "wide.pt")


def test_a_file_beyond_the_limit_is_not_even_opened(tmp_path: Path) -> None:
    with (tmp_path / "big.pt").open("wb") as file:
        file.truncate(200_000_001)
    with pytest.raises(CheckpointError, match="has 200,000,001 bytes, more than the 200,000,000 allowed"):
        read_weights(tmp_path / "big.pt")


STRANGE = ("\x1b[31mred\nTraceback:", "a\ud800b", "x" * 3_000_000)


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_name_in_a_file_is_told_on_one_short_line(name: str, tmp_path: Path) -> None:
    cases = [
        state() | {name: torch.zeros(1)},
        {name: torch.zeros(1)},
        {name: 3},
        {name: torch.zeros(1, device="meta")},
    ]
    for number, case in enumerate(cases):
        torch.save(case, tmp_path / "strange.pt")
        with pytest.raises(CheckpointError) as told:
            put_weights(network(), read_weights(tmp_path / "strange.pt"), "mine")
        assert str(told.value).isprintable(), number
        assert len(str(told.value)) < 600 + len(str(tmp_path))
