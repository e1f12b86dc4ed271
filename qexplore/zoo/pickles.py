"""What the pickle of a checkpoint would make, followed before anything is made.

torch.load(weights_only=True) runs no code, but it hashes, copies and allocates what the file says: a hundred bytes can
ask for gigabytes (bytearray(n), a tensor larger than its storage) or for hours (a key of tuples that hold each
other twice, level by level; ten thousand sets of one list). Here the same instructions are followed with nothing behind
them, and four rules make what torch.load takes linear in the file:
- only what the states of networks, optimizers and schedulers are made of is called, with arguments as torch.save writes
  them; a size is never an argument, except a tensor's, which stays within its storage;
- the storages together are not larger than the file;
- keys are texts, numbers and names: hashing one costs no more than reading it, and no file can choose the hashes;
- calls copy what they are given, and the file can give the same thing again: all copies together are counted.
"""

from __future__ import annotations

import pickletools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

_MOST_STEPS = 500_000  # two seconds; ResNet-50 with its optimizer needs 30,000
_MOST_COPIED = 1_000_000  # entries, and 64 letters each
_LARGEST_KEY = 2**61 - 2  # whole numbers beyond it can share one hash
_TENSORS = tuple(f"torch._utils._rebuild_tensor{version}" for version in ("", "_v2", "_v3"))
_VALUES = ("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE")
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class ForeignCall(Exception):
    """The pickle calls what is no part of a state."""


class Excess(Exception):
    """The pickle asks for more than a state needs; the message says for what, as a noun."""


class Broken(Exception):
    """The pickle is none that torch.save writes."""


@dataclass(frozen=True, slots=True, eq=False)
class _Name:
    """A function, a class or a kind of number, by its full name."""

    name: str


@dataclass(slots=True, eq=False)
class _Made:
    """An object: what it is, and how many entries it has; for a storage its elements."""

    what: str
    entries: int = 0


def require_modest(file: IO[bytes], size: int, pickles: int = 1) -> list[Any]:
    """Follows `pickles` pickles that lie one after the other in the file, from its current place, up to the last end.

    size: bytes that the storages may have together. Returns what each of them gives: texts, numbers, lists and tuples
    as they are, all else as an object that stands for it. Raises ForeignCall, Excess or Broken.
    """
    walk = _Walk(size)
    try:
        return [walk.follow(file) for _ in range(pickles)]
    except (ValueError, TypeError, LookupError, AttributeError) as problem:  # pickletools, and stacks that are empty
        raise Broken(str(problem)) from None


class _Walk:
    """The machine of a pickle: a stack, the stacks below its marks, and what was put aside by number."""

    def __init__(self, size: int) -> None:
        self._size, self._steps, self._copied, self._elements = size, 0, 0, 0
        self._storages: dict[str, int] = {}

    def follow(self, file: IO[bytes]) -> Any:
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        for code, argument, _ in pickletools.genops(file):
            self._steps += 1
            if self._steps > _MOST_STEPS:
                raise Excess(f"more than {_MOST_STEPS:,} values")
            if code.name == "STOP":
                return self._stack.pop()
            self._step(code.name, argument)
        raise Broken("no end")

    def _step(self, code: str, argument: Any) -> None:
        stack = self._stack
        if code in _VALUES or code == "SHORT_BINSTRING":
            stack.append({"NEWTRUE": True, "NEWFALSE": False}.get(code, argument))
        elif code in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif code in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif code == "MARK":
            self._below.append(stack)
            self._stack = []
        elif code in _TUPLES:
            stack.append(tuple(self._taken(_TUPLES[code])))
        elif code == "TUPLE":
            items = self._marked()
            self._stack.append(tuple(items))
        elif code in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append(_Made("dict") if code == "EMPTY_DICT" else [])
        elif code in ("APPEND", "APPENDS"):
            items = self._marked() if code == "APPENDS" else self._taken(1)
            _require(type(self._stack[-1]) is list)
            self._stack[-1].extend(items)
        elif code in ("SETITEM", "SETITEMS"):
            items = self._marked() if code == "SETITEMS" else self._taken(2)
            self._put(self._stack[-1], items)
        elif code == "GLOBAL":
            stack.append(_Name(argument.replace(" ", ".").replace("__builtin__.", "builtins.")))
        elif code == "BINPERSID":
            stack.append(self._storage(stack.pop()))
        elif code in ("REDUCE", "NEWOBJ"):
            function, arguments = self._taken(2)
            stack.append(self._called(function, arguments, new=code == "NEWOBJ"))
        elif code == "BUILD":
            state = stack.pop()
            if not _is(stack[-1], "collections.OrderedDict") or not _is(state, "dict"):
                raise ForeignCall
            self._copy(state)
        else:
            _require(code == "PROTO")

    def _taken(self, count: int) -> list[Any]:
        _require(len(self._stack) >= count)
        taken = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return taken

    def _marked(self) -> list[Any]:
        marked, self._stack = self._stack, self._below.pop()
        return marked

    def _put(self, target: Any, items: list[Any]) -> None:
        _require(_is(target, "dict", "collections.OrderedDict", "collections.Counter"))
        _require_keys(items[::2])
        target.entries += len(items) // 2

    def _storage(self, described: Any) -> _Made:
        """("storage", kind, number, device, elements) and, in the older format, a part of another one."""
        _require(isinstance(described, tuple) and len(described) in (5, 6) and described[0] == "storage")
        _, kind, key, _, count = described[:5]
        _require(isinstance(kind, _Name) and isinstance(key, str) and key.isascii() and key.isdecimal())
        _require(type(count) is int and count >= 0)
        # The same number again is the same storage; an element has at least one byte.
        self._elements += max(0, count - self._storages.get(key, 0))
        self._storages[key] = max(count, self._storages.get(key, 0))
        if self._elements > self._size:
            raise Broken("storages larger than the file")
        return _Made("storage", count)

    def _called(self, function: Any, arguments: Any, *, new: bool) -> Any:
        _require(isinstance(arguments, tuple))
        self._copy(arguments)
        name = function.name.removeprefix("torch._utils.") if isinstance(function, _Name) else ""
        match name, arguments:
            case "torch.nn.parameter.Parameter", (_Made("tensor"), *_):
                return arguments[0]
            case _ if new:
                raise ForeignCall
            case "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3", (
                _Made(),
                int(),
                tuple(),
                tuple(),
                *_,
            ):
                return _tensor(*arguments[:4])
            case "_rebuild_meta_tensor_no_storage", (_Name(), tuple(), tuple(), bool()):
                return _Made("tensor")
            case "_rebuild_parameter" | "_rebuild_parameter_with_state", (_Made("tensor"), *_):
                return arguments[0]
            case "torch._tensor._rebuild_from_type_v2", (_Name(inner), _Name(), tuple(), _) if inner in _TENSORS:
                return self._called(arguments[0], arguments[2], new=False)
            case "_rebuild_sparse_tensor" | "_rebuild_qtensor", _:
                raise Excess("sparse or quantized tensors")
            case "collections.OrderedDict", () | (list(),):  # Python 2 wrote its pairs down as a list of lists
                pairs = arguments[0] if arguments else []
                _require(all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs))
                _require_keys([pair[0] for pair in pairs])
                return _Made(name, len(pairs))
            case "collections.Counter", () | (_Made("dict"),):
                return _Made(name, arguments[0].entries if arguments else 0)
            case "builtins.set", (list(items),):
                _require_keys(items)
                return _Made("set")
            case "_codecs.encode", (str(text), "latin1" | "latin-1"):
                return text  # bytes, as protocol 2 writes them
            case "builtins.bytearray", (str(), *rest) if rest in ([], ["latin-1"]):
                return _Made("bytearray")
            case "builtins.bytearray", _:
                raise Excess("a call for memory of any size")
            case "torch.serialization._get_layout", (str(),):
                return _Made("layout")
            case "torch.device", (str(), *rest) if all(type(one) is int for one in rest):
                return _Made("device")
            case "torch.Size", (tuple(),):
                return _Made("size")
            case "builtins.complex", (float(), float()):
                return _Made("complex")
        raise ForeignCall

    def _copy(self, value: Any) -> None:
        self._copied += _extent(value)
        if self._copied > _MOST_COPIED:
            raise Excess(f"copies of more than {_MOST_COPIED:,} values")


def _tensor(storage: _Made, offset: int, size: tuple[Any, ...], stride: tuple[Any, ...]) -> _Made:
    """A view of a storage; torch would enlarge the storage for one that is larger."""
    _require(storage.what == "storage" and len(size) == len(stride))
    _require(all(type(number) is int and number >= 0 for number in (offset, *size, *stride)))
    reach = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
    _require(0 in size or reach <= storage.entries)
    return _Made("tensor")


def _extent(value: Any, levels: int = 2) -> int:
    """Entries of a value, and of what lies in it, so many levels deep, as far as any call copies."""
    if isinstance(value, str):
        return 1 + len(value) // 64
    if isinstance(value, _Made):
        return value.entries * (value.what != "storage")
    if isinstance(value, list | tuple):
        return len(value) + (sum(_extent(one, levels - 1) for one in value) if levels else 0)
    return 1


def _require_keys(values: Sequence[Any]) -> None:
    for value in values:
        if not (value is None or isinstance(value, str | float | _Name | int)) or (
            isinstance(value, int) and abs(value) > _LARGEST_KEY
        ):
            raise Excess("keys other than texts and numbers")


def _is(value: Any, *what: str) -> bool:
    return isinstance(value, _Made) and value.what in what


def _require(fits: bool) -> None:
    if not fits:
        raise Broken
