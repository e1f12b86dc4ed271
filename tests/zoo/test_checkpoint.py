"""A checkpoint comes back to the last bit; a file that is none, or another network's, is refused in one sentence."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from qexplore.zoo import CheckpointError
from qexplore.zoo.checkpoint import load_weights, save_weights


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("was-run"),)


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    state = network().state_dict()
    files = {
        "shape": (
            state | {"0.weight": torch.zeros(2, 3, 3, 3)},
            r"0\.weight is float32 \[2, 3, 3, 3\], not float32 \[2, 1",
        ),
        "kind": (state | {"0.weight": state["0.weight"].half()}, r"0\.weight is float16 \[2, 1, 3, 3\], not float32"),
        "missing": ({k: v for k, v in state.items() if k != "1.bias"}, r"it lacks 1\.bias"),
        "unknown": (state | {"head": torch.zeros(1)}, "it has the unknown head"),
        "another": ({f"layer{i}": torch.zeros(1) for i in range(9)}, "layer2 and 6 more"),
        "NaN": (state | {"0.bias": torch.tensor([0.0, float("nan")])}, r"NaN or infinite values in 0\.bias"),
    }
    for name, (content, _) in files.items():
        save_file(content, folder / f"{name}.safetensors")
    written = {name: (folder / f"{name}.safetensors", sentence) for name, (_, sentence) in files.items()}
    (folder / "pickle.safetensors").write_bytes(pickle.dumps(Hostile()))
    torch.save(state, folder / "torch.safetensors")
    (folder / "empty.safetensors").write_bytes(b"")
    whole = written["NaN"][0].read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[:-8])
    for name in ("pickle", "torch", "empty", "cut"):
        written[name] = (folder / f"{name}.safetensors", "is no safetensors file")
    return written | {
        "absent": (folder / "none.safetensors", "There is no checkpoint"),
        "folder": (folder, "no checkpoint"),
    }


CASES = ["shape", "kind", "missing", "unknown", "another", "NaN", "pickle", "torch", "empty", "cut", "absent", "folder"]


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_file_is_refused_and_leaves_the_network_as_it_was(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, sentence = bad_files(tmp_path)[case]
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=sentence) as told:
        load_weights(model, path, "resnet-digits")
    message = str(told.value)
    assert "\n" not in message
    assert str(path) in message
    assert "resnet-digits" in message
    assert "python -m qexplore train resnet-digits" in message
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not Path("was-run").exists()


def test_a_file_beyond_the_limit_is_not_even_read(tmp_path: Path) -> None:
    save_weights(network(), tmp_path / "big.safetensors")
    with pytest.raises(CheckpointError, match="bytes, more than the 100 allowed"):
        load_weights(network(), tmp_path / "big.safetensors", "resnet-digits", largest=100)


def test_weights_come_back_to_the_last_bit(tmp_path: Path) -> None:
    first, second = network(), network()
    save_weights(first, tmp_path / "new" / "net.safetensors")
    load_weights(second, tmp_path / "new" / "net.safetensors", "net")
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values()))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["net.safetensors"]
