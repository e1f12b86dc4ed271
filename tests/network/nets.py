"""Small networks, each with one thing that a placement or an integer grid could get wrong."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {}
IMAGE = (3, 8, 8)


class Net(nn.Module):
    """A convolution of 3 to 8 channels, `body`, and a classifier over the mean of each channel."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.LazyLinear(5)
        for name, module in modules.items():
            setattr(self, name, module)

    def body(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)).flatten(1))


def net(name: str, shape: tuple[int, ...] = IMAGE) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    def add(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        NETS[name] = (build, shape)
        return build

    return add


def built(name: str, images: int = 6) -> tuple[nn.Module, Tensor]:
    """The network of that name in eval mode, weights and images from a fixed seed; batch norms have seen images."""
    build, shape = NETS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sum(map(ord, name)))
        model, x = build(), torch.randn(images, *shape)
        with torch.no_grad():
            model.train()(x)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.eval().requires_grad_(False), x


def block(name: str, body: Callable[..., Tensor], shape: tuple[int, ...] = IMAGE, **modules: nn.Module) -> None:
    """Adds a Net whose body is `body(self, x)`."""
    cls = type(name, (Net,), {"body": body})

    @net(name, shape)
    def build() -> nn.Module:
        return cls(**{key: make() for key, make in modules.items()})  # type: ignore[operator]


def conv(inside: int, outside: int, kernel: int = 3, **settings: object) -> Callable[[], nn.Module]:
    settings = {"padding": kernel // 2, **settings}
    return lambda: nn.Conv2d(inside, outside, kernel, **settings)  # type: ignore[arg-type]


def conv_bn(inside: int, outside: int, *after: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), *after)


def _norm() -> nn.Module:
    return nn.BatchNorm2d(8)


def _iadd(self: Net, x: Tensor) -> Tensor:
    y = self.second(x)
    y += x
    return y


def _inplace_seen(self: Net, x: Tensor) -> Tensor:
    y = self.relu(x)
    return self.second(y) + x  # x is what the ReLU has left


def _excite(self: Net, x: Tensor) -> Tensor:
    return x * self.gate(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


def _halves(self: Net, x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=1)
    return torch.cat([self.second(first), second], dim=1)


def _attention(self: Net, x: Tensor) -> Tensor:
    tokens = x.flatten(2).permute(0, 2, 1)
    q, k, v = self.qkv(self.norm(tokens)).chunk(3, dim=-1)
    weights = torch.softmax(q @ k.transpose(1, 2) / 8**0.5, dim=-1)
    return tokens + self.out(weights @ v)


def _shuffle(self: Net, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return self.second(x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w))


class LikeAnother(Net):
    """A constant in the shape of an activation, on whose grid it does not lie."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.linspace(-0.7, 1.9, 512).view(1, 64, 8))
        self.second = nn.Conv2d(8, 8, 1)

    def body(self, x: Tensor) -> Tensor:
        image = x[:1].mean(0, keepdim=True)  # one image in every batch
        return self.second(x) * self.weights.view_as(image)


NETS["constant-like-another"] = (LikeAnother, IMAGE)


class Bounded(Net):
    """ReLU with one bound a channel, as equalization leaves it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bound", torch.linspace(0.1, 1.5, 8).view(8, 1, 1))
        self.second = nn.Conv2d(8, 8, 1)

    def body(self, x: Tensor) -> Tensor:
        return self.second(torch.minimum(F.relu(x), self.bound))


NETS["bound-a-channel"] = (Bounded, IMAGE)

block("conv-relu6", lambda s, x: F.relu6(s.second(9 * x)), second=conv(8, 8))
block("relu6-module", lambda s, x: s.act(x), act=lambda: nn.ReLU6(inplace=True))
block("relu-read-twice", lambda s, x: (r := F.relu(x)) * s.second(r), second=conv(8, 8))
block("conv-read-twice", lambda s, x: s.second(F.relu(x)) + s.third(x), second=conv(8, 8), third=conv(8, 8))
block("clamp-on-a-shared-grid", lambda s, x: F.hardtanh(x, -0.33, 0.77) * x)
block("minimum-by-name", lambda s, x: s.second(torch.minimum(x, other=torch.tensor(0.5))), second=conv(8, 8))
block(
    "clamp-from-infinity", lambda s, x: s.third(s.second(x).clamp(-math.inf, 0.7)), second=conv(8, 8), third=conv(8, 8)
)
block("clamp-to-infinity", lambda s, x: s.second(s.act(x)), act=lambda: nn.Hardtanh(0, math.inf), second=conv(8, 8))
block("clamp-without-bounds", lambda s, x: s.second(x.clamp(-math.inf, math.inf)) + x, second=conv(8, 8))
block("add-of-unequal-scales", lambda s, x: 30 * x + s.second(x), second=conv(8, 8))
block("add-relu", lambda s, x: F.relu(x + s.second(x)), second=conv_bn(8, 8))
block("add-relu6-inplace", lambda s, x: s.act(x + s.second(x)), second=conv_bn(8, 8), act=lambda: nn.ReLU6(True))
block("add-broadcast", lambda s, x: x + s.second(F.adaptive_avg_pool2d(x, 1)), second=conv(8, 8, 1))
block("add-to-itself", lambda s, x: x + x)
block("add-a-number", lambda s, x: s.second(x + 1.5), second=conv(8, 8))
block("add-with-alpha", lambda s, x: torch.add(x, s.second(x), alpha=0.5), second=conv(8, 8))
block("subtract", lambda s, x: x - s.second(x), second=conv(8, 8))
block("iadd", _iadd, second=conv(8, 8))
block("inplace-relu-seen-by-another", _inplace_seen, relu=lambda: nn.ReLU(inplace=True), second=conv(8, 8))
block("relu-underscore", lambda s, x: s.second(x.relu_()) + x, second=conv(8, 8))
block("concat", lambda s, x: torch.cat([x, F.relu(s.second(x))], 1), second=conv(8, 4))
block("concat-relu", lambda s, x: F.relu(torch.cat([5 * x, s.second(x)], 1)), second=conv(8, 4))
block("concat-of-the-same", lambda s, x: torch.cat([x, x], 1))
block("concat-of-a-chunk", lambda s, x: torch.cat(x.chunk(2, 1), 2))
block("max-pool", lambda s, x: F.relu(s.pool(x)), pool=lambda: nn.MaxPool2d(3, 2, 1))
block("max-pool-function", lambda s, x: s.second(F.max_pool2d(x, 2)), second=conv(8, 8))
block("average-pool", lambda s, x: s.second(F.avg_pool2d(x, 2)), second=conv(8, 8))
block("average-pool-padded", lambda s, x: s.pool(x), pool=lambda: nn.AvgPool2d(3, 2, 1))
block("sum-pool", lambda s, x: s.pool(x), pool=lambda: nn.AvgPool2d(2, divisor_override=1))
block("sum-pool-function", lambda s, x: F.avg_pool2d(x, 2, divisor_override=1))
block("adaptive-pool", lambda s, x: s.pool(x), pool=lambda: nn.AdaptiveAvgPool2d(3))
block("mean", lambda s, x: s.second(F.relu(x)).mean([2, 3]), second=conv(8, 8))
block("amax", lambda s, x: s.second(x).amax((2, 3)), second=conv(8, 8))
block("view", lambda s, x: s.second(x).view(x.size(0), -1), second=conv(8, 8))
block("reshape-of-shape", lambda s, x: s.second(x).reshape(x.shape[0], 8, -1).permute(0, 2, 1), second=conv(8, 8))
block("view-as-another", lambda s, x: s.second(x).view_as(s.third(30 * x)) + x, second=conv(8, 8), third=conv(8, 8))
block("chunk", _halves, second=conv(4, 4))
block("getitem", lambda s, x: s.second(x[:, 2:6, ::2]), second=conv(4, 4))
block("shuffle", _shuffle, second=conv(8, 8, groups=2))
for _name, _act in {"sigmoid": nn.Sigmoid, "silu": nn.SiLU, "hardswish": nn.Hardswish, "gelu": nn.GELU}.items():
    block(_name, lambda s, x: s.third(s.act(s.second(x))), second=conv_bn(8, 8), act=_act, third=conv(8, 8))
for _name, _make in {"silu": nn.SiLU, "hardswish": nn.Hardswish, "leaky-relu": nn.LeakyReLU, "elu": nn.ELU}.items():
    block(f"{_name}-inplace", lambda s, x: s.third(s.act(x)), act=lambda m=_make: m(inplace=True), third=conv(8, 8))
block("softmax", lambda s, x: torch.softmax(s.second(x), 1), second=conv(8, 8))
block("squeeze-excite", _excite, down=conv(8, 2, 1), up=conv(2, 8, 1), gate=nn.Hardsigmoid)
block("layer-norm", lambda s, x: s.norm(x.permute(0, 2, 3, 1)), norm=lambda: nn.LayerNorm(8))
block(
    "batch-norm-alone",
    lambda s, x: s.second(F.relu(s.norm(F.relu(x)))),
    norm=lambda: nn.BatchNorm2d(8),
    second=conv(8, 8),
)
block("batch-norm-read-twice", lambda s, x: (b := s.second(x)) * F.relu(b), second=conv_bn(8, 8))
block("grouped", lambda s, x: s.second(x), second=conv(8, 16, groups=4))
block("depthwise", lambda s, x: F.relu6(s.second(x)), second=conv(8, 16, groups=8))
block("dilated", lambda s, x: s.second(x), second=conv(8, 8, padding=2, dilation=2))
block("strided", lambda s, x: s.second(x), second=conv(8, 8, stride=2, bias=False))
block("padding-same", lambda s, x: s.second(x), second=conv(8, 8, kernel=3, dilation=3, padding="same"))
block("padding-reflect", lambda s, x: s.second(x), second=conv(8, 8, padding_mode="reflect"))
block(
    "dropout",
    lambda s, x: s.second(F.dropout(s.drop(F.relu(x)), 0.2, s.training)),
    drop=nn.Dropout2d,
    second=conv(8, 8),
)
block("attention", _attention, norm=lambda: nn.LayerNorm(8), qkv=lambda: nn.Linear(8, 24), out=lambda: nn.Linear(8, 8))
block("transposed", lambda s, x: F.relu(s.second(x)), second=lambda: nn.ConvTranspose2d(8, 8, 2, 2))
block("maximum-with-indices", lambda s, x: s.second(x.max(1, keepdim=True)[0]), second=conv(1, 4))
block("mask", lambda s, x: s.second(torch.where(x > 0.1, x, 0.5 * x)), second=conv(8, 8))
block("scalar-of-the-data", lambda s, x: s.second(x / x.abs().max()), second=conv(8, 8))
block("shared-convolution", lambda s, x: s.second(F.relu(s.second(x))), second=conv(8, 8))


@net("relu-first")
def _relu_first() -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.LazyLinear(5))


@net("inplace-silu-first")
def _silu_first() -> nn.Module:
    return nn.Sequential(nn.SiLU(inplace=True), nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(5))


@net("pool-first")
def _pool_first() -> nn.Module:
    return nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


@net("sequence", (4, 20))
def _sequence() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 6, 5), nn.BatchNorm1d(6), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(48, 5)
    )


@net("tokens", (7, 6))
def _tokens() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 9), nn.GELU(), nn.Linear(9, 6), nn.LayerNorm(6), nn.Flatten(), nn.Linear(42, 5))


@net("volume", (2, 4, 4, 4))
def _volume() -> nn.Module:
    return nn.Sequential(nn.Conv3d(2, 3, 3), nn.ReLU(), nn.AvgPool3d(2), nn.Flatten(), nn.Linear(3, 5))


@net("perceptron", (6,))
def _perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(9, 5))


@net("a-single-layer", (6,))
def _single() -> nn.Module:
    return nn.Linear(6, 5)


@net("output-is-an-add", (6,))
def _sum_of_logits() -> nn.Module:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.input, self.other = nn.Linear(6, 5), nn.Linear(6, 5)  # a layer with the name of the network's input

        def forward(self, x: Tensor) -> Tensor:
            return self.input(x) + F.relu(self.other(x))

    return TwoHeads()


@net("logits-read-again", (6,))
def _gated_logits() -> nn.Module:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            logits = self.first(x)
            torch.relu(logits).sum()  # what nobody reads
            return logits

    return Gated()


@net("memory", (7, 6))
def _recurrent() -> nn.Module:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.lstm, self.head = nn.Linear(6, 6), nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            every, (last, _) = self.lstm(self.first(x))
            return self.head(every[:, -1] + last[0])

    return Recurrent()


@net("multi-head", (7, 8))
def _multi_head() -> nn.Module:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(8, 8), nn.Linear(8, 5)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.first(x))
            return self.head((x + self.attention(x, x, x)[0]).mean(1))

    return Attending()


@net("functional-convolution")
def _functional() -> nn.Module:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.weight = nn.Conv2d(3, 4, 3), nn.Parameter(torch.randn(5, 4, 3, 3))

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(F.relu(self.stem(x)), self.weight).mean((2, 3))

    return Functional()


class Branches(nn.Module):
    """What torch.fx cannot follow; it also writes into its input and views it, as user code does."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.view(x.size(0), -1)
        return self.inner(x) if bool(flat.sum() > 1e9) else self.inner(x).mul_(0.5)


block("opaque-inside", lambda s, x: s.second(s.middle(F.relu(x))), middle=Branches, second=conv(8, 8))
