"""The project's networks in plain PyTorch.

They exist to be compared with: parameter names and order are torchvision's, so a
checkpoint of either side loads into the other without renaming.
"""

import torch
from torch import nn


def conv3x3(in_channels, out_channels, stride=1):
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)).

    The shortcut is a 1x1 projection wherever the shape changes (option B of He et al.,
    2016), as in torchvision, and the identity elsewhere.
    """

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet(nn.Module):
    """The CIFAR ResNet: a 3x3 stem that keeps the resolution, then three stages."""

    def __init__(self, blocks=(1, 1, 1), widths=(16, 32, 64), in_channels=3, num_classes=10):
        super().__init__()
        self.conv1 = conv3x3(in_channels, widths[0])
        self.bn1 = nn.BatchNorm2d(widths[0])
        channels = widths[0]
        for i, (depth, width) in enumerate(zip(blocks, widths, strict=True)):
            stage = []
            for j in range(depth):
                stage.append(BasicBlock(channels, width, stride=2 if i > 0 and j == 0 else 1))
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
    """Linear, BatchNorm and ReLU for each hidden width, then the classifier.

    Hidden layers have no bias: the normalization that follows would cancel it.
    """

    def __init__(self, in_features, num_classes, hidden=(64, 64, 64)):
        super().__init__()
        self.depth = len(hidden)
        for i, width in enumerate(hidden, start=1):
            self.add_module(f"fc{i}", nn.Linear(in_features, width, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm1d(width))
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


def build(name, in_channels, image_size, num_classes):
    """Builds a network by its command-line name, for square images."""
    if name == "mlp":
        return Mlp(in_channels * image_size**2, num_classes)
    if name in RESNETS:
        return ResNet(RESNETS[name], in_channels=in_channels, num_classes=num_classes)
    raise ValueError(f"unknown model {name!r}; choose from {', '.join(MODELS)}")
