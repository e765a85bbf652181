"""Tiny networks as people write them, for tools/make_pt2.py: one file of torch.export for each."""

import math
from collections import namedtuple

import torch
import torch.nn.functional as F
from torch import nn

BATCH, CLASSES = 4, 5

Case = namedtuple("Case", "build inputs targets mode dynamic decomposed", defaults=(True, True, False))
"""A network: what builds it, its inputs and targets; whether it is exported in training mode, for any size of the batch, and
with its operators taken apart into simpler ones that change nothing in place."""


def images(channels=3, size=8):
    return lambda: (torch.randn(BATCH, channels, size, size),)


def classes(*shape):
    return lambda: torch.randint(CLASSES, shape or (BATCH,))


class Residual(nn.Module):
    """Convolutions, BatchNorm, both kinds of shortcut, pooling."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(6, momentum=0.3, eps=1e-3)
        self.short = nn.Conv2d(4, 6, 1, stride=2, bias=False)
        self.drop = nn.Dropout(0.0)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x):
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        y = self.bn2(self.conv2(x))
        y += self.short(x)
        y = F.relu(y, inplace=True)
        return self.fc(self.drop(torch.flatten(F.adaptive_avg_pool2d(y, 1), 1)))


class Squeeze(nn.Module):
    """A bottleneck of depthwise convolutions with hardswish, squeeze and excitation, and ReLU6."""

    def __init__(self):
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(3, 6, 1, bias=False), nn.BatchNorm2d(6), nn.Hardswish(inplace=True))
        self.depthwise = nn.Sequential(
            nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), nn.BatchNorm2d(6), nn.ReLU6(inplace=True)
        )
        self.squeeze, self.excite = nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1)
        self.project = nn.Sequential(nn.Conv2d(6, 3, 1, bias=False), nn.BatchNorm2d(3))
        self.fc = nn.Linear(3, CLASSES)

    def forward(self, x):
        y = self.depthwise(self.expand(x))
        scale = self.excite(F.silu(self.squeeze(F.adaptive_avg_pool2d(y, 1))))
        y = self.project(y * F.hardsigmoid(scale))
        return self.fc((x + y).mean([2, 3]))


class Attention(nn.Module):
    """Attention with q, k and v of one linear layer, as timm writes it."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=0.0)
        return self.proj(x.transpose(1, 2).reshape(b, n, c))


class Scale(nn.Module):
    """Layer scale."""

    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x):
        return x * self.gamma


class Vit(nn.Module):
    """A vision transformer: patches, a class token, positions, layer scale."""

    def __init__(self, width=8):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.2)
        self.positions = nn.Parameter(torch.randn(1, 5, width) * 0.2)
        self.norm1, self.attn, self.scale = nn.LayerNorm(width), Attention(width, 2), Scale(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 12), nn.GELU(), nn.Dropout(0.0), nn.Linear(12, width))
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
        x = x + self.scale(self.attn(self.norm1(x)))
        x = x + self.mlp(self.norm2(x))
        return self.head(self.norm(x)[:, 0])


class Gpt(nn.Module):
    """A causal language model whose head is its embedding."""

    def __init__(self, width=8, length=6):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(CLASSES, width), nn.Embedding(length, width)
        self.ln1, self.qkv, self.proj = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.ln2, self.fc, self.out = nn.LayerNorm(width), nn.Linear(width, 16), nn.Linear(16, width)
        self.ln = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, x):
        b, t = x.shape
        x = self.tokens(x) + self.positions(torch.arange(t, device=x.device))
        q, k, v = (z.view(b, t, 2, -1).transpose(1, 2) for z in self.qkv(self.ln1(x)).split(8, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).contiguous().view(b, t, -1))
        x = x + self.out(F.gelu(self.fc(self.ln2(x)), approximate="tanh"))
        return self.head(self.ln(x))


class Swin(nn.Module):
    """A block of shifted windows, with the mask made in forward, a table of relative positions, and stochastic depth."""

    def __init__(self, width=6, window=2, drop=0.0):
        super().__init__()
        self.window, self.drop = window, drop
        self.embed = nn.Conv2d(3, width, 2, stride=2)
        self.norm1, self.qkv, self.proj = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.table = nn.Parameter(torch.randn((2 * window - 1) ** 2, 2) * 0.3)
        at = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        relative = (at[:, :, None] - at[:, None, :]).permute(1, 2, 0) + window - 1
        self.register_buffer("index", (relative[..., 0] * (2 * window - 1) + relative[..., 1]).view(-1))
        self.norm2, self.mlp = nn.LayerNorm(width), nn.Sequential(nn.Linear(width, 8), nn.GELU(), nn.Linear(8, width))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES)

    def depth(self, x):
        keep = x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(1 - self.drop)
        return x * keep.div_(1 - self.drop) if self.training else x

    def attention(self, x):
        b, h, w, c = x.shape
        s, shift = self.window, self.window // 2
        x = torch.roll(x, shifts=(-shift, -shift), dims=(1, 2))
        x = x.view(b, h // s, s, w // s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, s * s, c)
        q, k, v = self.qkv(x).reshape(x.shape[0], s * s, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * (c // 2) ** -0.5) @ k.transpose(-2, -1)
        scores = scores + self.table[self.index].view(s * s, s * s, 2).permute(2, 0, 1).unsqueeze(0)
        mask, count = x.new_zeros((h, w)), 0
        for rows in ((0, -s), (-s, -shift), (-shift, None)):
            for columns in ((0, -s), (-s, -shift), (-shift, None)):
                mask[rows[0] : rows[1], columns[0] : columns[1]] = count
                count += 1
        mask = mask.view(h // s, s, w // s, s).permute(0, 2, 1, 3).reshape(-1, s * s)
        mask = mask.unsqueeze(1) - mask.unsqueeze(2)
        mask = mask.masked_fill(mask != 0, -100.0).masked_fill(mask == 0, 0.0)
        windows = mask.size(0)
        scores = scores.view(-1, windows, 2, s * s, s * s) + mask.unsqueeze(1).unsqueeze(0)
        y = F.softmax(scores.view(-1, 2, s * s, s * s), dim=-1) @ v
        y = self.proj(y.transpose(1, 2).reshape(-1, s * s, c))
        y = y.view(b, h // s, w // s, s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
        return torch.roll(y, shifts=(shift, shift), dims=(1, 2))

    def forward(self, x):
        x = self.embed(x).permute(0, 2, 3, 1)
        x = x + self.depth(self.attention(self.norm1(x)))
        x = x + self.depth(self.mlp(self.norm2(x)))
        return self.head(self.norm(x).permute(0, 3, 1, 2).mean((2, 3)))


class TwoInputs(nn.Module):
    """Two inputs, a skip over views, tied weights, a bare scale on a norm without parameters, a constant."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(12, 16), nn.Linear(16, 16)
        self.table = nn.Embedding(CLASSES, 16)
        self.scale, self.shift = nn.Parameter(torch.ones(16)), nn.Parameter(torch.zeros(16))
        self.norm = nn.LayerNorm(16, elementwise_affine=False)
        self.head = nn.Linear(16, CLASSES, bias=False)
        self.head.weight = self.table.weight
        self.factors = torch.linspace(0.5, 1.5, 16)

    def forward(self, x, y):
        h = torch.tanh(self.a(x))
        v = h.view(-1, 4, 4)
        h = h + (v.transpose(1, 2) + v).reshape(-1, 16) * self.factors + self.table(y)
        h = self.norm(self.b(h)) * self.scale + self.shift
        return self.head(F.leaky_relu(h, 0.1))


class RmsNorm(nn.Module):
    """RMSNorm, by hand."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class Rotary(nn.Module):
    """Rotary positions from buffers that are no state, grouped heads, SwiGLU."""

    def __init__(self, width=8, length=6):
        super().__init__()
        self.tokens = nn.Embedding(CLASSES, width)
        angles = torch.outer(torch.arange(length).float(), 10.0 ** -torch.arange(0.0, 1.0, 0.5))
        angles = torch.cat([angles, angles], -1)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self.norm1, self.q = RmsNorm(width), nn.Linear(width, width, bias=False)
        self.k, self.v = nn.Linear(width, width // 2, bias=False), nn.Linear(width, width // 2, bias=False)
        self.o = nn.Linear(width, width, bias=False)
        self.norm2, self.gate, self.up = RmsNorm(width), nn.Linear(width, 12), nn.Linear(width, 12)
        self.down, self.norm, self.head = nn.Linear(12, width), RmsNorm(width), nn.Linear(width, CLASSES)

    def turn(self, x):
        a, b = x.chunk(2, dim=-1)
        return x * self.cos + torch.cat([-b, a], -1) * self.sin

    def forward(self, x):
        b, t = x.shape
        x = self.tokens(x)
        y = self.norm1(x)
        q, k, v = (f(y).view(b, t, -1, 4).transpose(1, 2) for f in (self.q, self.k, self.v))
        k, v = self.turn(k).repeat_interleave(2, dim=1), v.repeat_interleave(2, dim=1)
        mask = torch.ones(t, t, dtype=torch.bool, device=x.device).tril()
        scores = (self.turn(q) @ k.transpose(-1, -2)) / math.sqrt(4)
        scores = scores.masked_fill(~mask, float("-inf"))
        x = x + self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, -1))
        y = self.norm2(x)
        return self.head(self.norm(x + self.down(F.silu(self.gate(y)) * self.up(y))))


class Convolutions(nn.Module):
    """Dilation, unequal kernels, strides and padding, modes of padding, transposed and one-dimensional convolutions, average pooling."""

    def __init__(self):
        super().__init__()
        self.dilated = nn.Conv2d(2, 3, 3, dilation=2, padding=2)
        self.unequal = nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), groups=1)
        self.reflect = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect", groups=2)
        self.replicate = nn.Conv2d(4, 3, 3, padding=1, padding_mode="replicate")
        self.circular = nn.Conv2d(3, 3, 3, padding=(1, 2), padding_mode="circular")
        self.same = nn.Conv2d(3, 3, 4, padding="same", bias=False)
        self.transposed = nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1)
        self.line = nn.Conv1d(2, 3, 5, stride=2, padding=2)
        self.up = nn.ConvTranspose1d(3, 2, 4, stride=2, padding=1)
        self.fc = nn.Linear(2, CLASSES)

    def forward(self, x):
        x = F.elu(self.unequal(F.softplus(self.dilated(x))))
        x = self.circular(F.silu(self.replicate(torch.tanh(self.reflect(x)))))
        x = F.avg_pool2d(self.transposed(torch.sigmoid(self.same(x))), 2, stride=1, padding=1)
        x = self.up(F.relu(self.line(x.amax(3) + x.mean(3))))
        return self.fc(x.mean(-1))


class StandardConv(nn.Conv2d):
    """A convolution of standardised weights, as timm has it: BatchNorm of the weights."""

    def forward(self, x):
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(flat, None, None, training=True, momentum=0.0, eps=1e-6).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Standardised(nn.Module):
    """GroupNorm before convolutions of standardised weights."""

    def __init__(self):
        super().__init__()
        self.stem = StandardConv(3, 4, 3, padding=1, bias=False)
        self.norm1, self.conv1 = nn.GroupNorm(2, 4), StandardConv(4, 4, 3, padding=1, bias=False)
        self.norm2, self.fc = nn.GroupNorm(1, 4, eps=1e-3), nn.Conv2d(4, CLASSES, 1)

    def forward(self, x):
        x = F.max_pool2d(F.pad(self.stem(x), (1, 1, 1, 1)), 3, stride=2)
        x = x + self.conv1(F.relu(self.norm1(x)))
        x = F.relu(self.norm2(x)).mean((2, 3), keepdim=True)
        return self.fc(x).flatten(1)


class Writes(nn.Module):
    """Writes through slices and other views, fresh tensors, an updated buffer, and what needs no input."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, CLASSES)
        self.gain = nn.Parameter(torch.ones(4))
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        h = self.a(x)
        if self.training:
            self.steps.add_(1)
            self.mean.mul_(0.9).add_(h.detach().mean(0), alpha=0.1)
        h = h - self.mean
        out = torch.zeros_like(h)
        out[:, :4] = h[:, :4] * self.gain
        out[:, 4:].copy_(h[:, 4:].exp().clamp(max=2.0))
        out[:, 4:].add_(out[:, :4], alpha=0.5)
        out.view(-1, 2, 4)[:, 0].mul_(2.0)
        weights = torch.arange(1, 9, device=x.device, dtype=x.dtype).sqrt().flip(0)
        return self.b(torch.where(out > 0, out, out.abs().log1p()) * weights)


class Copies(nn.Module):
    """Writes into what looks like a view and is a copy, and into what looks like a copy and is a view."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        h = self.a(x).view(-1, 2, 4)
        copy = h.transpose(1, 2).contiguous()
        copy.mul_(2.0)
        rows = h.transpose(1, 2).reshape(-1, 8)
        rows.add_(1.0)
        view = h.reshape(-1, 8)
        view[:, :4].mul_(h[:, 1].sigmoid())
        return self.b(h.flatten(1) + torch.tanh(copy.transpose(1, 2).reshape(-1, 8)) * rows)


class Strided(nn.Module):
    """Weights that are views: channels last, transposed, halves of one tensor, an expanded buffer, a scalar."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1).to(memory_format=torch.channels_last)
        both = torch.randn(12, 6)
        self.left, self.right = nn.Parameter(both[:, :4].t()), nn.Parameter(both[::2, 4:])
        self.register_buffer("grid", torch.arange(1.0, 3.0).view(1, 2, 1).expand(3, 2, 4))
        self.temperature = nn.Parameter(torch.tensor(1.5))
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x):
        x = self.conv(x).mean((2, 3)) @ self.left
        x = x + (self.right.sum(1) * self.grid[0, :, 0].sum()).repeat(2)
        return self.fc(torch.tanh(x)) / self.temperature


class Mixed(nn.Module):
    """Weights in half precision, both kinds, brought to the type of the input in forward; and a buffer of truth values."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.randn(8, 6).half())
        self.b = nn.Parameter(torch.randn(CLASSES, 8).bfloat16())
        self.bias = nn.Parameter(torch.randn(CLASSES).double())
        self.register_buffer("keep", torch.tensor([True, False] * 4))
        self.register_buffer("order", torch.tensor([3, 1, 0, 2, 4], dtype=torch.int32))

    def forward(self, x):
        x = torch.tanh(F.linear(x, self.a.to(x.dtype))) * self.keep
        x = F.linear(x, self.b.to(x.dtype), self.bias.to(x.dtype))
        return x.index_select(1, self.order)


class Literals(nn.Module):
    """Inputs that are no tensors: they stand fast in the file. Statistics of a norm."""

    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, CLASSES)

    def forward(self, x, power, factor, double, reduction, nothing):
        x = self.norm(self.a(x)) ** power * factor
        x = x + x if double and nothing is None else x
        return self.b(x) if reduction == "none" else self.b(x).sum()


class Frozen(nn.Module):
    """Layers that are not trained: weights alone, a norm's scale alone, a whole layer."""

    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 8)
        self.head = nn.Linear(8, CLASSES)
        for param in (self.a.weight, self.norm.weight, *self.b.parameters()):
            param.requires_grad_(False)

    def forward(self, x):
        x = torch.tanh(self.norm(self.a(x)))
        return self.head(x + F.silu(self.b(x)))


class Dropped(nn.Module):
    """Random masks of every kind: of pixels, of rows, of tokens, of attention's weights; in place and not."""

    def __init__(self, width=4):
        super().__init__()
        self.conv, self.pixels = nn.Conv2d(3, width, 4, stride=4), nn.Dropout(0.3)
        self.norm, self.qkv, self.proj = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.tokens, self.last = nn.Dropout(0.2, inplace=True), nn.Dropout(0.4)
        self.head = nn.Linear(width, CLASSES)

    def attention(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.25 if self.training else 0.0)
        y = self.tokens(self.proj(y.transpose(1, 2).reshape(b, t, c)))
        if self.training:
            y = y * y.new_empty((b, 1, 1)).bernoulli_(0.75).div_(0.75)
        return y

    def forward(self, x):
        x = self.pixels(torch.tanh(self.conv(x))).flatten(2).transpose(1, 2)
        x = x + self.attention(self.norm(x))
        return self.head(self.last(x.mean(1)))


CASES = {
    "residual": Case(Residual, images(), classes()),
    "residual_eval": Case(Residual, images(), classes(), mode=False),
    "residual_fixed": Case(Residual, images(), classes(), dynamic=False),
    "squeeze": Case(Squeeze, images(), classes()),
    "vit": Case(Vit, images(), classes()),
    "gpt": Case(Gpt, lambda: (torch.randint(CLASSES, (BATCH, 6)),), classes(BATCH, 6)),
    "swin": Case(Swin, images(), classes()),
    "two_inputs": Case(TwoInputs, lambda: (torch.randn(BATCH, 12), torch.randint(CLASSES, (BATCH,))), classes()),
    "rotary": Case(Rotary, lambda: (torch.randint(CLASSES, (BATCH, 6)),), classes(BATCH, 6)),
    "convolutions": Case(Convolutions, images(2, 9), classes()),
    "standardised": Case(Standardised, images(), classes()),
    "writes": Case(Writes, lambda: (torch.randn(BATCH, 6),), classes()),
    "copies": Case(Copies, lambda: (torch.randn(BATCH, 6),), classes()),
    "strided": Case(Strided, images(), classes()),
    "mixed": Case(Mixed, lambda: (torch.randn(BATCH, 6),), classes()),
    "frozen": Case(Frozen, lambda: (torch.randn(BATCH, 6),), classes()),
    "dropped": Case(Dropped, images(), classes()),
    "literals": Case(
        Literals, lambda: (torch.randn(BATCH, 6), 2, 0.5, True, "none", None), classes(), decomposed=True
    ),
}
