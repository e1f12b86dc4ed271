"""A checkpoint costs what its file is long: what asks for more is refused before anything of it is made."""

import pickle
import time
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from qexplore.zoo import CheckpointError
from qexplore.zoo.weights import read_weights

STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu%stQ"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"K\x00%s%s\x89ccollections\nOrderedDict\n)RtR"


def checkpoint(pickled: bytes, path: Path) -> Path:
    """A zip archive as torch.save writes it, with the pickle and a storage of four numbers."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", bytes(16))
    return path


def number(value: int) -> bytes:
    return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)


def entry(value: bytes, key: bytes = b"K\x01") -> bytes:
    return b"\x80\x02}" + key + value + b"s."


NESTED = b"K\x01K\x01\x86" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(40))
LISTED = b"](" + b"K\x01" * 5000 + b"eq\x01"
HOSTILE = {
    "bytes": (entry(b"c__builtin__\nbytearray\n" + number(1 << 60) + b"\x85R"), "a call for memory of any size"),
    "a tensor": (entry(b"ctorch\nTensor\n" + number(1 << 30) + b"\x85R"), "could run code"),
    "a new storage": (entry(b"ctorch.storage\nUntypedStorage\n" + number(1 << 60) + b"\x85\x81"), "could run code"),
    "a wide tensor": (entry(TENSOR % (b"K\x04", number(1 << 40) + b"\x85", b"K\x01\x85")), "is damaged"),
    "a wide storage": (entry(TENSOR % (number(1 << 40), b"K\x04\x85", b"K\x01\x85")), "is damaged"),
    "a key of tuples": (entry(b"K\x02", NESTED), "keys other than texts and numbers"),
    "a set of tuples": (entry(b"c__builtin__\nset\n](" + NESTED + b"e\x85R"), "keys other than texts and numbers"),
    "pairs of tuples": (
        entry(b"ccollections\nOrderedDict\n](](" + NESTED + b"K\x01ee\x85R"),
        "keys other than texts and numbers",
    ),
    "keys of one hash": (entry(b"K\x02", number((1 << 61) - 1)), "keys other than texts and numbers"),
    "many sets": (
        entry(LISTED + b"(" + b"c__builtin__\nset\nh\x01\x85R" * 2000 + b"t"),
        "copies of more than",
    ),
    "many attributes": (
        entry(
            b"}(" + b"".join(b"M%sK\x01" % i.to_bytes(2, "little") for i in range(5000)) + b"uq\x01"
            b"ccollections\nOrderedDict\n)R" + b"h\x01b" * 2000
        ),
        "copies of more than",
    ),
    "many values": (entry(b"](" + b"N" * 600_000 + b"e"), "more than 500,000 values"),
    "an empty stack": (b"\x80\x02R.", "is damaged"),
    "no end": (b"\x80\x02}", "is damaged"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_small_file_cannot_ask_for_much(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("loaded"))
    pickled, sentence = HOSTILE[case]
    begun = time.process_time()
    with pytest.raises(CheckpointError, match=sentence) as told:
        read_weights(checkpoint(pickled, tmp_path / "small.pt"))
    assert time.process_time() - begun < 10
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400 + len(str(tmp_path))


def older(content: bytes, order: bytes) -> bytes:
    first = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    return b"".join(first) + content + order


def test_the_older_format_is_followed_to_its_last_pickle(tmp_path: Path) -> None:
    path = tmp_path / "older.pt"
    for content, order in (
        (HOSTILE["a key of tuples"][0], b"\x80\x02]."),
        (b"\x80\x02}.", b"\x80\x02]" + NESTED + b"a."),
    ):
        path.write_bytes(older(content, order))
        with pytest.raises(CheckpointError):
            read_weights(path)
    path.write_bytes(
        older(entry(TENSOR.replace(b"tQ", b"NtQ") % (number(1 << 40), b"K\x04\x85", b"K\x01\x85")), b"\x80\x02].")
    )
    with pytest.raises(CheckpointError, match="is damaged"):
        read_weights(path)


def training(zipped: bool) -> dict[str, object]:
    """What trainers save beside the state."""
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    half = [{"params": network[0].parameters()}, {"params": network[1].parameters()}]
    optimizer = torch.optim.AdamW(half, betas=(0.9, 0.99), amsgrad=True)
    network(torch.rand(4, 3)).sum().backward()
    optimizer.step()
    shared = torch.rand(6)
    return {
        "state_dict": network.state_dict(),
        "parameters": list(network.parameters()),
        "optimizer": optimizer.state_dict(),
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 3, 5]).state_dict(),
        "generator": torch.get_rng_state(),
        "seeds": (2**63 + 5, (1, 2, (3,)), {"a": {1, 2}}, Counter("aab"), OrderedDict(a=1), {None: 1, 0.5: 2, 3: 4}),
        "views": [
            shared[:2],
            shared[2:],
            shared.view(2, 3).t(),
            shared.expand(4, 6),
            torch.zeros(0, 3),
            torch.tensor(1.0),
        ],
        "kinds": [torch.zeros(2, dtype=kind) for kind in (torch.float16, torch.bfloat16, torch.bool, torch.complex64)],
        "newer": [torch.zeros(2).to(torch.float8_e4m3fn), torch.zeros(2, dtype=torch.uint16)] * zipped,
        "others": [torch.Size([2, 3]), torch.device("cpu"), torch.float16, b"ab\xff", bytearray(b"ab"), 1 + 2j, "ü"],
        "empty-handed": [torch.zeros(2, device="meta")],
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_whatever_trainers_save_beside_the_state_stays_readable(zipped: bool, tmp_path: Path) -> None:
    saved = training(zipped)
    torch.save(saved, tmp_path / "all.pt", _use_new_zipfile_serialization=zipped)
    read = read_weights(tmp_path / "all.pt")
    assert read.state.keys() == saved["state_dict"].keys()


def test_pairs_as_python_2_wrote_them_are_a_state(tmp_path: Path) -> None:
    value = TENSOR % (b"K\x04", b"K\x04\x85", b"K\x01\x85")
    pickled = b"\x80\x02ccollections\nOrderedDict\n](](X\x01\x00\x00\x00w" + value + b"ee\x85R."
    assert read_weights(checkpoint(pickled, tmp_path / "two.pt")).state["w"].shape == (4,)


def test_an_archive_is_followed_as_torch_reads_it(tmp_path: Path) -> None:
    """Two entries of one name: Python's reader takes one of them, torch's the other."""
    path = checkpoint(entry(b"K\x02", NESTED), tmp_path / "twice.pt")
    for first, second in ((entry(b"K\x02", NESTED), b"\x80\x02}."), (b"\x80\x02}.", entry(b"K\x02", NESTED))):
        checkpoint(first, path)
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("archive/data.pkl", second)
        begun = time.process_time()
        with pytest.raises(CheckpointError):
            read_weights(path)
        assert time.process_time() - begun < 5
