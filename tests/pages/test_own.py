"""A network of one's own comes in through the Network page, or stays out with its reason, and the page stands."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from streamlit.testing.v1 import AppTest

from qexplore import zoo
from qexplore.places import OutsideRoots, within
from qexplore.report import Report
from qexplore.runs import Store, lock, own_tasks
from qexplore.runs.progress import Progress
from qexplore.ui.foreign import code, escaped
from qexplore.ui.own import folders
from qexplore.ui.own.adding import Adding, begin, name_of
from qexplore.zoo import own
from qexplore.zoo.task import fresh_model
from tests.executors import Idle
from tests.pages.owned import own_task, pictures
from tests.pages.words import words

Open = Callable[..., AppTest]
ARCHITECTURE = "resnet20-cifar10"
CATALOGUE = {"resnet18": {"IMAGENET1K_V1": ["resized to 256, centre 224 × 224, RGB", "/nowhere/resnet18.pth"]}}


@pytest.fixture(autouse=True)
def allowed(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pictures that is allowed, a helper in this process, and torchvision's list as it was kept."""
    monkeypatch.setattr("qexplore.runs.store.executor_for", lambda root: Idle())
    monkeypatch.setattr("qexplore.ui.own.helper.ask", own_tasks.answer)
    root = tmp_path / "photographs"
    pictures(root / "shapes", classes=10, each=4)
    monkeypatch.setenv("QEXPLORE_DATA", str(root))
    kept = home / "cache" / f"torchvision-{version('torchvision')}.json"
    kept.parent.mkdir()
    kept.write_text(json.dumps(CATALOGUE))
    folders.places.clear()
    folders.contents.clear()
    return root


def weights() -> bytes:
    """A safetensors file for the architecture."""
    return save(fresh_model(zoo.entry(ARCHITECTURE)).state_dict())


def filled(at: AppTest, content: bytes, file: str = "mine.safetensors", images: str = "photographs/shapes") -> AppTest:
    """The form with everything in it."""
    at.selectbox(key="own-model").set_value(ARCHITECTURE).run()
    at.file_uploader(key="own-file").set_value((file, content, "application/octet-stream"))
    return at.selectbox(key="own-images").set_value(images).run()


def added(at: AppTest, name: str = "mine") -> AppTest:
    """After a press of the button, once the work has ended."""
    field = next(field for field in at.text_input if str(field.key).startswith("own-name"))
    field.set_value(name)
    at.run().button(key="own-add").click().run()
    kept = at.session_state  # it has no get
    under_way = kept["own-adding"] if "own-adding" in kept else None  # noqa: SIM401
    if under_way is not None:
        under_way.future.result(timeout=120)
        at.run()
    return at


def test_uploaded_weights_become_a_task_that_is_measured(opened: Open, home: Path) -> None:
    at = added(filled(opened("network"), weights()))
    assert own.names() == ("mine",)
    assert at.selectbox(key="task").value == "mine"
    assert [run.spec["task"] for run in Store(home, executor=Idle()).runs(state="queued")] == ["mine"]
    assert "mine is being measured" in words(at)
    assert "32 for evaluation" in words(at)
    assert list((home / "uploads").iterdir()) == []


def test_what_a_killed_app_has_left_of_uploads_is_removed_and_what_another_one_uses_stays(
    opened: Open, home: Path
) -> None:
    for name in ("killed", "old", "other"):
        (home / "uploads" / name).mkdir(parents=True)
        (home / "uploads" / name / "weights.pt").write_bytes(b"half")
    (home / "uploads" / "killed" / "lock").touch()
    (home / "uploads" / "note").touch()
    held = lock.take(home / "uploads" / "other" / "lock")
    added(filled(opened("network"), weights()))
    assert own.names() == ("mine",)
    assert sorted(path.name for path in (home / "uploads").iterdir()) == ["note", "other"]
    assert (home / "uploads" / "other" / "weights.pt").read_bytes() == b"half"
    os.close(held)


def test_an_upload_that_cannot_be_kept_leaves_nothing_behind(
    opened: Open, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    at = added(filled(opened("network"), weights()))
    assert "The file cannot be kept (No space left on device)." in at.error[0].value
    assert list((home / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no weights at all", "mine.safetensors' is damaged or none at all"),
        (save({"fc.weight": torch.zeros(3, 2)}), "belong to another architecture than resnet20-cifar10"),
    ],
)
def test_a_wrong_file_is_told_and_the_open_task_stays(opened: Open, home: Path, content: bytes, told: str) -> None:
    at = added(filled(opened("network", task="resnet-digits"), content))
    assert told in at.error[0].value
    assert str(home) not in at.error[0].value
    assert at.selectbox(key="task").value == "resnet-digits"
    assert "ResNet on digits" in words(at)
    assert own.folders() == ()
    assert Store(home, executor=Idle()).runs() == []
    assert not at.exception


STRANGE = "\x1b[31mred\n\n![i](http://nowhere/x.png) **b** `c` <b>d</b>"


@pytest.mark.parametrize("name", ["a\ud800b", STRANGE, "x" * 2_000_000])
def test_a_strange_name_in_an_uploaded_file_is_shown_as_text(opened: Open, name: str) -> None:
    file = io.BytesIO()
    torch.save(fresh_model(zoo.entry(ARCHITECTURE)).state_dict() | {name: torch.ones(1)}, file)
    at = added(filled(opened("network", task="resnet-digits"), file.getvalue(), "mine.pt"))
    for _ in range(2):
        assert not at.exception
        assert "1 is unexpected" in at.error[0].value
        (listed,) = (one.value for one in at.markdown if "**unexpected**" in one.value)
        for shown in (at.error[0].value, listed.removeprefix("**unexpected**, 1: `").removesuffix("`")):
            assert shown.isprintable()
            assert len(shown) < 400
            assert not re.search(r"(?<!\\)(!\[|\*\*|<b|`)", shown) or shown in listed
        at.run()


def test_what_stands_in_code_ends_nowhere_and_what_is_escaped_means_nothing() -> None:
    assert code("a`b`\n\x1b") == r"`a b \n\x1b`"
    assert escaped("![i](u) **b** `c` <b> $x$ a_b \ud800") == r"\!\[i\](u) \*\*b\*\* \`c\` \<b\> \$x\$ a\_b ?"


def test_a_network_that_cannot_be_captured_is_told_and_makes_no_task(
    opened: Open, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dynamic(entry: zoo.Entry) -> torch.nn.Module:
        network = fresh_model(entry)
        static = type(network).forward
        network.__class__ = type(
            "Dynamic", (type(network),), {"forward": lambda self, x: static(self, x if x.mean() > 0 else -x)}
        )
        return network

    monkeypatch.setattr("qexplore.zoo.zoo_networks.fresh_model", dynamic)
    at = added(filled(opened("network", task="resnet-digits"), weights()))
    assert "The model Dynamic cannot be traced" in at.error[0].value
    assert at.selectbox(key="task").value == "resnet-digits"
    assert own.folders() == ()


def test_after_a_wrong_file_everything_else_in_the_form_stays(opened: Open) -> None:
    at = added(filled(opened("network"), b"no weights at all"), "kept")
    assert at.selectbox(key="own-model").value == ARCHITECTURE
    assert at.selectbox(key="own-images").value == "photographs/shapes"
    assert all(at.selectbox(key=key).proto.set_value for key in ("own-model", "own-images"))  # so it is drawn
    at.file_uploader(key="own-file").set_value(None).run()
    assert not [field for field in at.text_input if str(field.key).startswith("own-name")]
    at.run()
    at.file_uploader(key="own-file").set_value(("mine.safetensors", weights(), "application/octet-stream")).run()
    (field,) = (field for field in at.text_input if str(field.key).startswith("own-name"))
    assert (field.value, field.proto.value, field.proto.set_value) == ("kept", "kept", True)
    assert not at.exception


def test_after_a_task_was_added_the_form_is_empty(opened: Open) -> None:
    at = added(filled(opened("network"), weights()))
    assert at.selectbox(key="own-model").value is None
    assert at.selectbox(key="own-images").value is None


def test_entries_that_do_not_fit_are_listed(opened: Open) -> None:
    at = added(filled(opened("network"), save({"fc.weight": torch.zeros(3, 2)})))
    assert "**missing**" in words(at)
    assert "**unexpected**, 1: `fc.weight`" in words(at)


@pytest.mark.parametrize("name", ["resnet-digits", "../up", ""])
def test_a_name_that_cannot_be_is_told_before_anything_is_opened(opened: Open, home: Path, name: str) -> None:
    at = added(filled(opened("network"), b""), name)
    assert len(at.error) == 1
    assert not (home / "uploads").exists()


@pytest.mark.parametrize("typed", ["/etc", "../..", "shapes/../../..", "\0", "x" * 5000])
def test_a_typed_path_leads_nowhere_else(typed: str) -> None:
    with pytest.raises(OutsideRoots):
        folders.typed(typed)


def test_a_typed_path_may_be_relative_to_an_allowed_folder(allowed: Path) -> None:
    assert folders.typed(" shapes/../shapes ").source == f"folder:{allowed / 'shapes'}"


def test_a_folder_that_is_allowed_no_longer_is_refused_and_the_page_stands(
    opened: Open, allowed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = filled(opened("network"), weights())
    monkeypatch.setattr("qexplore.runs.own_tasks.within", lambda path: within("/etc"))
    added(at)
    assert "lies outside the folders whose images may be used" in at.error[0].value
    assert "MobileNet on digits" in words(at)
    assert own.folders() == ()


def test_a_link_out_of_the_folder_is_neither_listed_nor_taken(allowed: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "secret")
    (allowed / "link").symlink_to(tmp_path / "secret")
    assert [place.label for place in folders.places((allowed,))] == ["photographs/shapes"]
    with pytest.raises(OutsideRoots):
        folders.typed("link")
    with pytest.raises(OutsideRoots):
        own_tasks.confined(f"folder:{allowed / 'link'}")


@pytest.mark.parametrize("source", ["folder:/etc", "npz:../x.npz", "torchvision:CIFAR10@/etc"])
def test_the_helper_checks_images_again(source: str, tmp_path: Path) -> None:
    asked = {"ask": "add", "name": "mine", "model": ARCHITECTURE, "weights": None, "data": source, "seed": 0}
    found = own_tasks.answer({**asked, "title": "", "progress": str(tmp_path / "progress.json")})
    assert "trouble" in found
    assert own.folders() == ()


def test_the_helper_runs_no_code_of_a_file(tmp_path: Path, allowed: Path) -> None:
    script = tmp_path / "evil.py"
    script.write_text("raise SystemExit")
    asked: dict[str, Any] = {"ask": "add", "name": "mine", "model": f"{script}:make", "weights": None, "seed": 0}
    data = {"data": f"folder:{allowed / 'shapes'}", "title": "", "progress": str(tmp_path / "progress.json")}
    assert "only the command line may" in own_tasks.answer(asked | data)["trouble"]


def test_folders_say_what_they_hold_or_why_they_cannot_serve(allowed: Path) -> None:
    pictures(allowed / "one", classes=1)
    (allowed / "empty").mkdir()
    (allowed / "arrays.npz").touch()
    assert {place.label for place in folders.places((allowed,))} == {"photographs/shapes", "photographs/arrays.npz"}
    assert folders.contents(f"folder:{allowed / 'shapes'}") == "10 classes, 40 pictures"
    assert "one class only" in folders.contents(f"folder:{allowed / 'one'}")
    pictures(allowed / "odd", classes=2, each=3)
    first = next(path for path in sorted((allowed / "odd").iterdir()) if path.is_dir())
    os.mkfifo(first / "pipe.png")
    (first / "out.png").symlink_to("/etc/hostname")
    told = folders.contents(f"folder:{allowed / 'odd'}")
    assert told.startswith(
        "2 classes, 6 pictures; 2 left out: a symbolic link out of the folder; allow its target with"
    )
    assert told.endswith(", no regular file")


def test_without_an_allowed_folder_the_page_says_how_to_allow_one(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QEXPLORE_DATA")
    assert "python -m qexplore data add DIR" in words(opened("network"))


def test_a_model_of_torchvision_shows_its_preprocessing(opened: Open) -> None:
    at = opened("network")
    at.selectbox(key="own-model").set_value("torchvision:resnet18").run()
    assert "centre 224 × 224" in words(at)
    assert "will be downloaded once" in words(at)


def test_an_own_task_goes_only_after_a_second_look(opened: Open, home: Path) -> None:
    own_task(home, "mine")
    at = opened("network", task="mine")
    assert own.names() == ("mine",)
    at.button(key="own-gone mine").click().run()
    assert own.names() == ()
    assert not at.exception
    assert at.selectbox(key="task").value == "mobilenet-digits"


@pytest.mark.parametrize(("done", "tells"), [(0, False), (5, True), (10, False)])
def test_time_left_is_told_only_in_the_midst_of_a_phase(tmp_path: Path, done: int, tells: bool) -> None:
    now = time.time()
    told = Progress(done, 10, "decoding", phase_started=now - 10, phase_done=0, time=now)
    (tmp_path / "progress.json").write_text(json.dumps(vars(told)))
    share, text, left = Adding("mine", tmp_path, Future()).progress
    assert (share, text) == (done / 10, "decoding")
    assert (left is not None) is tells


def test_time_left_counts_from_the_beginning_of_the_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr(own_tasks, "_EVERY", 0.0)
    teller, adding = own_tasks.Teller(tmp_path / "progress.json"), Adding("mine", tmp_path, Future())
    report = Report(teller)
    report.progress(0, 100, "downloading")
    now += 300
    report.progress(100, 100, "downloading")
    report.progress(0, 1000, "decoding")
    now += 3
    report.progress(30, 1000, "decoding")
    assert adding.progress == (0.03, "decoding", pytest.approx(97.0))
    now += 2
    assert adding.progress[2] == pytest.approx(95.0)


def test_an_adding_that_waits_for_others_says_so(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened("network")  # desks of its own
    gate = threading.Event()
    monkeypatch.setattr("qexplore.ui.own.helper.ask", lambda request: {"name": str(gate.wait(30))})
    monkeypatch.setattr("qexplore.ui.own.adding.session", iter("abcd").__next__)
    begun = [begin({"name": name}, None) for name in ("first", "second", "third", "fourth")]
    told = [adding.progress[1] for adding in begun]
    gate.set()
    assert [adding.outcome() for adding in begun] == [{"name": "True"}] * 4
    assert told == ["opening the network"] * 3 + ["waiting for other tasks that are being added"]


def test_a_name_is_made_of_network_and_images() -> None:
    assert name_of("torchvision:resnet18@random", "folder:/a/My Photos") == "resnet18-my-photos"
    assert name_of("resnet20-cifar10", "cifar10") == "resnet20-cifar10-cifar10"
