"""Curvature of 1-D parameters by PyTorch's double backward: slow, plain, and a reference.

Every function takes a gradient computed with `create_graph=True`.
"""

import torch
from torch.nn import GroupNorm
from torch.nn.modules.batchnorm import _NormBase

from pytorch_models import RmsNorm

# _NormBase is the parent of BatchNorm and InstanceNorm.
NORM_LAYERS = (_NormBase, GroupNorm, RmsNorm)


def norm_parameters(model):
    """Names of every gamma and beta, in `named_parameters` order."""
    norms = {name for name, module in model.named_modules() if isinstance(module, NORM_LAYERS)}
    return [name for name, _ in model.named_parameters() if name.rpartition(".")[0] in norms]


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


def block_hessian(grad, param):
    """The dense C x C block H_bb of a 1-D parameter, one row per backward pass."""
    basis = torch.eye(param.numel(), dtype=param.dtype)
    return torch.stack([hvp([grad], [param], [e])[0] for e in basis])
