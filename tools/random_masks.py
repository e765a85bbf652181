"""Random masks as `sph` draws them, for PyTorch: both then compute the same numbers.

    with random_masks.ours():
        output = net(images)

A mask is the stream (seed, "dropout", number of the mask in the network, batch) of crates/tensor/src/rng.rs, ChaCha8 with this address as its
key, element after element as the value lies in memory: images channels last.
"""

import contextlib
import math
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F


def uniforms(n, source, seed=0, batch=0):
    """The first n draws of a stream, in [0, 1)."""
    key = b"".join(part.to_bytes(8, "little") for part in (seed, int.from_bytes(b"dropout", "little"), source, batch))
    blocks = (n + 7) // 8
    start = np.zeros((16, blocks), np.uint32)
    start[:4] = np.frombuffer(b"expand 32-byte k", "<u4")[:, None]
    start[4:12] = np.frombuffer(key, "<u4")[:, None]
    start[12] = np.arange(blocks)
    x = start.copy()

    def quarter(a, b, c, d):
        for one, two, three, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[one] += x[two]
            turned = x[three] ^ x[one]
            x[three] = turned << np.uint32(bits) | turned >> np.uint32(32 - bits)

    for _ in range(4):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    words = np.ascontiguousarray((x + start).T).view("<u8").ravel()[:n]
    return torch.from_numpy((words >> np.uint64(11)).astype(np.float64) * 2.0**-53)


class Masks:
    """What PyTorch asks chance for, answered with our masks, one after the other."""

    def __init__(self, images):
        self.images, self.source = images, 0

    def draws(self, x, image=False):
        u = uniforms(x.numel(), self.source)
        self.source += 1
        if image:
            n, c, h, w = x.shape
            return u.view(n, h, w, c).permute(0, 3, 1, 2)
        return u.view(x.shape)

    def dropout(self, x, p=0.5, training=True, inplace=False):
        if not training or p == 0.0:
            return x
        mask = (self.draws(x, self.images and x.ndim == 4) >= p).to(x.dtype) / (1 - p)
        return x.mul_(mask) if inplace else x * mask

    def bernoulli_(self, x, p=0.5):
        return x.copy_(self.draws(x) < p)

    def attention(self, q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None):
        scores = q @ k.transpose(-2, -1) * (scale or 1 / math.sqrt(q.shape[-1]))
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -math.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        weights = scores.softmax(-1)
        if dropout_p > 0.0:
            weights = weights * ((self.draws(weights) >= dropout_p).to(weights.dtype) / (1 - dropout_p))
        return weights @ v


@contextlib.contextmanager
def ours(images=True):
    """PyTorch's masks are ours, in the order of the calls. With `images`, values of four axes that are dropped out are N×C×H×W; else
    their last axis is that of channels already."""
    masks = Masks(images)
    with (
        patch.object(F, "dropout", masks.dropout),
        patch.object(F, "scaled_dot_product_attention", masks.attention),
        patch.object(torch.Tensor, "bernoulli_", lambda x, p=0.5: masks.bernoulli_(x, p)),
    ):
        yield masks
