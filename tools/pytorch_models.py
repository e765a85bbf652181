"""The project's networks in plain PyTorch.

They exist to be compared with: parameter names and order are torchvision's, so a
checkpoint of either side loads into the other without renaming.
"""

import torch
from torch import nn


EPS = 1e-5


class RmsNorm(nn.Module):
    """x / sqrt(mean(x^2) + EPS) over all of a sample's elements, one scale per channel."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        mean_square = x.square().mean(dim=tuple(range(1, x.ndim)), keepdim=True)
        scale = self.weight.view(-1, *(1 for _ in x.shape[2:]))
        return x * torch.rsqrt(mean_square + EPS) * scale


def group_norm(channels):
    """Groups of 4 channels or more, at most 32 of them."""
    most = max(1, min(32, channels // 4))
    groups = max(g for g in range(1, most + 1) if channels % g == 0)
    return nn.GroupNorm(groups, channels, eps=EPS)


def layer_norm(channels):
    """Over a whole sample, with a scale and a shift per channel: GroupNorm of one group."""
    return nn.GroupNorm(1, channels, eps=EPS)


def instance_norm(channels):
    return nn.InstanceNorm2d(channels, eps=EPS, affine=True, track_running_stats=False)


# What --norm names: a layer for images, by the number of channels.
NORMS = {
    "bn": lambda channels: nn.BatchNorm2d(channels, eps=EPS),
    "gn": group_norm,
    "ln": layer_norm,
    "in": instance_norm,
    "rms": RmsNorm,
}

# The same for vectors. A channel of a vector is a single number, too few for InstanceNorm.
VECTOR_NORMS = {name: make for name, make in NORMS.items() if name != "in"}
VECTOR_NORMS["bn"] = lambda channels: nn.BatchNorm1d(channels, eps=EPS)


def conv3x3(in_channels, out_channels, stride=1):
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)).

    The shortcut is a 1x1 projection wherever the shape changes (option B of He et al.,
    2016), as in torchvision, and the identity elsewhere. Norms are called bn, whatever
    their kind.
    """

    def __init__(self, in_channels, out_channels, stride, make_norm):
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = make_norm(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = make_norm(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                make_norm(out_channels),
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet(nn.Module):
    """The CIFAR ResNet: a 3x3 stem that keeps the resolution, then three stages."""

    def __init__(
        self, blocks=(1, 1, 1), widths=(16, 32, 64), in_channels=3, num_classes=10, norm="bn"
    ):
        super().__init__()
        make_norm = NORMS[norm]
        self.conv1 = conv3x3(in_channels, widths[0])
        self.bn1 = make_norm(widths[0])
        channels = widths[0]
        for i, (depth, width) in enumerate(zip(blocks, widths, strict=True)):
            stage = []
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                stage.append(BasicBlock(channels, width, stride, make_norm))
                channels = width
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
        self.stages = [f"layer{i + 1}" for i in range(len(blocks))]
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return self.fc(x.mean(dim=(2, 3)))


class Mlp(nn.Module):
    """Linear, norm and ReLU for each hidden width, then the classifier.

    Hidden layers have no bias: the normalization that follows would cancel it.
    """

    def __init__(self, in_features, num_classes, hidden=(64, 64, 64), norm="bn"):
        super().__init__()
        make_norm = VECTOR_NORMS[norm]
        self.depth = len(hidden)
        for i, width in enumerate(hidden, start=1):
            self.add_module(f"fc{i}", nn.Linear(in_features, width, bias=False))
            self.add_module(f"bn{i}", make_norm(width))
            in_features = width
        self.fc = nn.Linear(in_features, num_classes)

    def forward(self, x):
        x = x.flatten(1)
        for i in range(1, self.depth + 1):
            x = self.get_submodule(f"fc{i}")(x)
            x = torch.relu(self.get_submodule(f"bn{i}")(x))
        return self.fc(x)


RESNETS = {"resnet8": (1, 1, 1), "resnet20": (3, 3, 3)}
MODELS = ("mlp", *RESNETS)


def norms_of(name):
    """The names of the norms that a network can have."""
    return VECTOR_NORMS if name == "mlp" else NORMS


def build(name, in_channels, image_size, num_classes, norm="bn"):
    """Builds a network by its command-line name, for square images."""
    if norm not in norms_of(name):
        raise ValueError(f"{name} with norm {norm!r}; choose from {', '.join(norms_of(name))}")
    if name == "mlp":
        return Mlp(in_channels * image_size**2, num_classes, norm=norm)
    if name in RESNETS:
        return ResNet(
            RESNETS[name], in_channels=in_channels, num_classes=num_classes, norm=norm
        )
    raise ValueError(f"unknown model {name!r}; choose from {', '.join(MODELS)}")
