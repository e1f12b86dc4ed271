"""Networks open by name with their own weights and preprocessing; what cannot be had is told in one sentence."""

import hashlib
import http.server
import json
import os
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import models

from qexplore.errors import QexploreError, UnknownName
from qexplore.report import Report
from qexplore.zoo import CheckpointError, hub
from qexplore.zoo.local_networks import _lies_in, absolute
from qexplore.zoo.networks import open_network
from qexplore.zoo.preprocessing import Preprocessing
from qexplore.zoo.torchvision_networks import Segmentation, model_names
from tests.zoo.own_parts import factory, network

SMALL = "shufflenet_v2_x0_5"
FILE = "shufflenetv2_x0.5-f707e7126e.pth"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch.hub's folder of weights for this test, empty; nothing is downloaded."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("QEXPLORE_OFFLINE", "1")
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_published_weights_come_from_the_hubs_folder_with_their_preprocessing_and_classes(cache: Path) -> None:
    torch.manual_seed(3)
    published = models.shufflenet_v2_x0_5(weights=None).state_dict()
    torch.save(published, cache / FILE)
    opened = open_network(f"torchvision:{SMALL}")
    assert all(torch.equal(value, published[name]) for name, value in opened.module.state_dict().items())
    assert not opened.module.training
    assert (opened.weights, opened.segmentation) == ("IMAGENET1K_V1", False)
    assert opened.classes is not None
    assert (len(opened.classes), opened.classes[0]) == (1000, "tench")
    assert opened.preprocessing is not None
    assert (opened.preprocessing.resize, opened.preprocessing.size) == (256, (224, 224))


def test_absent_weights_name_the_file_and_where_to_put_it(cache: Path) -> None:
    with pytest.raises(QexploreError) as told:
        open_network(f"torchvision:{SMALL}")
    assert f"put the file {FILE} into {cache}" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_a_damaged_file_in_the_hubs_folder_is_named(cache: Path, content: bytes | None) -> None:
    if content is None:
        torch.save(network().state_dict(), cache / FILE)
    else:
        (cache / FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{FILE} does not hold the weights of torchvision:{SMALL}"):
        open_network(f"torchvision:{SMALL}")


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("was-run"),)


def test_code_in_a_published_file_is_not_run(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    torch.save({"trap": Trap()}, cache / FILE)
    with pytest.raises(CheckpointError):
        open_network(f"torchvision:{SMALL}")
    assert not Path("was-run").exists()
    assert dict(os.environ) == before


def test_fresh_weights_are_the_same_each_time_and_leave_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second = (open_network(f"torchvision:{SMALL}@random").module.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)


def test_ones_own_weights_may_have_a_head_of_their_own(tmp_path: Path) -> None:
    torch.manual_seed(5)
    mine = models.shufflenet_v2_x0_5(weights=None, num_classes=7).state_dict()
    torch.save({"state_dict": {f"module.{name}": value.half() for name, value in mine.items()}}, tmp_path / "mine.pth")
    opened = open_network(f"torchvision:{SMALL}", tmp_path / "mine.pth")
    assert opened.module(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
    assert opened.classes is None
    assert any("7 outputs" in note for note in opened.notes)
    assert any("float16" in note for note in opened.notes)
    assert torch.equal(opened.module.state_dict()["fc.bias"], mine["fc.bias"].half().float())


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=f"another architecture than torchvision:{SMALL}"):
        open_network(f"torchvision:{SMALL}", tmp_path / "other.safetensors")


def test_heads_that_only_help_in_training_are_taken_off(tmp_path: Path) -> None:
    whole = models.googlenet(weights=None, init_weights=False, aux_logits=True)
    torch.save(whole.state_dict(), tmp_path / "aux.pth")
    opened = open_network("torchvision:googlenet", tmp_path / "aux.pth").module
    assert not any(name.startswith("aux") for name, _ in opened.named_modules())
    assert isinstance(opened(torch.rand(1, 3, 64, 64)), torch.Tensor)


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_a_segmentation_network_gives_its_map_alone(name: str) -> None:
    torch.manual_seed(0)
    network = models.get_model(name, weights=None, weights_backbone=None).eval()
    x = torch.rand(2, 3, 33, 47)
    with torch.inference_mode():
        assert torch.equal(Segmentation(network)(x), network(x)["out"])
    opened = open_network(f"torchvision:{name}@random")
    assert opened.segmentation
    assert opened.module(x[:1]).shape == (1, 21, 33, 47)


def test_every_model_of_torchvision_has_weights_whose_preprocessing_is_understood() -> None:
    assert len(model_names()) >= 80
    for name in model_names():
        for weights in models.get_model_weights(name):
            assert Preprocessing.of_torchvision(weights.transforms()).channels == 3


def test_a_network_of_timm_sees_images_as_timm_prepares_them(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    mine = timm.create_model("mobilenetv3_small_050", num_classes=7)
    torch.save(mine.state_dict(), tmp_path / "mine.pth")
    opened = open_network("timm:mobilenetv3_small_050", tmp_path / "mine.pth")
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=mine), is_training=False)
    picture = Image.radial_gradient("L").convert("RGB").resize((311, 270))
    assert opened.preprocessing is not None
    x = opened.preprocessing.normalize(opened.preprocessing.decode(picture)[None])
    assert torch.allclose(x[0], transform(picture), atol=1e-6)
    with torch.inference_mode():
        assert torch.equal(opened.module(x), mine.eval()(x))


UNKNOWN = {
    "torchvision:resnet81": "did you mean",
    f"torchvision:{SMALL}@IMAGENET1K_V9": "did you mean|known: IMAGENET1K_V1, DEFAULT, random",
    "torchvision:": "There is no model of torchvision ''",
    "timm:resnet18": r"pip install 'qexplore\[timm\]'|could not be had",
    "resnet-digit": "There is no network 'resnet-digit': name one of the zoo",
    "mine.py:network": "would run a file of code, which only the command line may",
    "os:getcwd": "would run a file of code",
}


@pytest.mark.parametrize("source", UNKNOWN)
def test_a_name_that_means_nothing_gets_one_sentence(source: str) -> None:
    with pytest.raises(QexploreError, match=UNKNOWN[source]) as told:
        open_network(source)
    assert "\n" not in str(told.value)


def test_a_factory_runs_only_where_local_code_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = factory(tmp_path)
    with pytest.raises(QexploreError, match="only the command line may"):
        open_network(source)
    assert open_network(source, local=True).module(torch.zeros(1, 3, 8, 8)).shape == (1, 2)
    monkeypatch.chdir(tmp_path)
    assert open_network("mine:network", local=True).module(torch.zeros(1, 3, 8, 8)).shape == (1, 2)
    save_file({k: v + 1 for k, v in network().state_dict().items()}, tmp_path / "w.safetensors")
    assert open_network(source, tmp_path / "w.safetensors", local=True).weights == "w.safetensors"


WITH_HELPER = """
def network():
    from helper import Net
    return Net()
"""
HELPER = """
from torch import nn

class Net(nn.Conv2d):
    def __init__(self):
        super().__init__(3, {width}, 1)
"""


def test_the_modules_of_a_factory_are_those_beside_it_as_they_are_now(tmp_path: Path) -> None:
    def width(place: Path) -> int:
        return open_network(f"{place / 'net.py'}:network", local=True).module.out_channels  # type: ignore[no-any-return]

    for number, name in ((5, "a"), (7, "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.py").write_text(WITH_HELPER)
        (tmp_path / name / "helper.py").write_text(HELPER.format(width=number))
    assert [width(tmp_path / "a"), width(tmp_path / "b")] == [5, 7]
    (tmp_path / "b" / "helper.py").write_text(HELPER.format(width=11111))
    assert [width(tmp_path / "b"), width(tmp_path / "a")] == [11111, 5]
    assert "helper" not in sys.modules


def test_what_python_and_its_packages_bring_is_not_forgotten(tmp_path: Path) -> None:
    everything = Path(tmp_path.anchor)  # the folder of a factory below which Python and its packages lie too
    assert not _lies_in(json, everything)
    assert not _lies_in(torch, everything)
    mine = ModuleType("mine")
    mine.__file__ = str(tmp_path / "mine.py")
    assert _lies_in(mine, everything)


def test_a_factory_in_a_package_means_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in ((5, "a"), (7, "b")):
        package = tmp_path / name / "pack"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "net.py").write_text(WITH_HELPER.replace("from helper", "from .helper"))
        (package / "helper.py").write_text(HELPER.format(width=number))
    monkeypatch.chdir(tmp_path / "a")
    source = absolute("pack.net:network")
    for place in (tmp_path / "b", tmp_path):
        monkeypatch.chdir(place)
        assert open_network(source, local=True).module.out_channels == 5
    monkeypatch.chdir(tmp_path / "b")
    assert open_network("pack.net:network", local=True).module.out_channels == 7
    assert absolute("torchvision.models:resnet18") == "torchvision.models:resnet18"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mine.py:broken", "failed: RuntimeError: out of paint"),
        ("mine.py:leaving", "failed: SystemExit: 3"),
        ("script.py:network", "cannot be imported: SystemExit: 0"),
        ("mine.py:nothing", "gives a 'int'; it must give a torch.nn.Module"),
        ("mine.py:absent", "has no function 'absent'"),
        ("none.py:network", "There is no file"),
        ("bad.py:network", "cannot be imported: SyntaxError"),
        ("no_such_package_at_all:network", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_factory_that_gives_no_network_gets_one_sentence(
    name: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory(tmp_path)
    (tmp_path / "bad.py").write_text("def network(:\n")
    (tmp_path / "script.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QexploreError, match=sentence) as told:
        open_network(name, local=True)
    assert not isinstance(told.value, UnknownName)
    assert "\n" not in str(told.value)


def test_a_download_arrives_whole_or_leaves_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"weights" * 1000
    good, bad = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth", "net-00000000.pth"
    (cache / ".download-stopped").write_bytes(b"half")
    os.utime(cache / ".download-stopped", (0, 0))
    for name in (good, bad):
        (tmp_path / name).write_bytes(content)
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QEXPLORE_OFFLINE")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    events: list[dict[str, object]] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert hub.fetch(f"{address}/{good}", "torchvision:net", Report(events.append)).read_bytes() == content
        for name in (bad, "absent.pth"):
            with pytest.raises(QexploreError, match=f"put the file {name} into"):
                hub.fetch(f"{address}/{name}", "torchvision:net", Report())
        server.shutdown()
    with pytest.raises(QexploreError, match="could not be downloaded"):
        hub.fetch(f"{address}/later.pth", "torchvision:net", Report())
    assert [path.name for path in cache.iterdir()] == [good]
    assert events[-1]["done"] == events[-1]["total"] == len(content)
