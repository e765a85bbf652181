"""Curvature of second-order blocks by PyTorch's double backward: slow, plain, and a reference.

Every function takes a gradient computed with `create_graph=True`.
"""

import torch
from torch.nn import GroupNorm, LayerNorm
from torch.nn.modules.batchnorm import _NormBase

from pytorch_models import RmsNorm, TokenRmsNorm

# _NormBase is the parent of BatchNorm and InstanceNorm.
NORM_LAYERS = (_NormBase, GroupNorm, LayerNorm, RmsNorm, TokenRmsNorm)

# The softmax does not feel a common shift of the logits, so H 1 = 0 on this bias.
CLASSIFIER_BIASES = ("fc.bias", "classifier.bias", "head.bias")

# Nor does attention feel a shift of the keys, a third of the first bias; nor the norm behind
# the second a shift of all channels of a token.
FLAT_BIASES = ("attn.qkv.bias", "mlp_tokens.fc2.bias")


def second_order_blocks(model):
    """Names of every gamma and beta, in `named_parameters` order.

    They are those of norms and, in decoupled layers, the magnitudes and the bias.
    """
    modules = dict(model.named_modules())
    blocks = []
    for name, _ in model.named_parameters():
        layer, _, part = name.rpartition(".")
        if isinstance(modules[layer], NORM_LAYERS):
            blocks.append(name)
        elif hasattr(modules[layer], "weight_g"):
            idle = name in CLASSIFIER_BIASES or name.endswith(FLAT_BIASES)
            if part == "weight_g" or part == "bias" and not idle:
                blocks.append(name)
    return blocks


def gradients(loss, model):
    """The gradient of every parameter by name, still differentiable."""
    names, params = zip(*model.named_parameters())
    return dict(zip(names, torch.autograd.grad(loss, params, create_graph=True)))


def hvp(grads, params, vectors):
    """H v over lists of tensors: rows and columns of H are restricted to `params`."""
    return torch.autograd.grad(grads, params, vectors, retain_graph=True)


def row_sum(grad, param):
    """H_bb 1 for one block. It is the diagonal only where H_bb is diagonal."""
    return hvp([grad], [param], [torch.ones_like(param)])[0]


def block_hessian(grad, param, step=1):
    """Every step-th row of the C x C block H_bb of C parameters, one backward pass each."""
    basis = torch.eye(param.numel(), dtype=param.dtype)[::step].view(-1, *param.shape)
    return torch.stack([hvp([grad], [param], [e])[0].flatten() for e in basis])
