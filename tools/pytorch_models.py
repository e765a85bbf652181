"""The project's networks in plain PyTorch.

They exist to be compared with: parameter names and order are torchvision's, timm's for
transformers and mixers, so a checkpoint of either side loads into the other without renaming.

A layer that no norm follows has a bias and, with `decouple`, its weights apart as magnitudes
`X.weight_g` and directions `X.weight_v`. Norm "none" puts nothing where a norm would be.
"""

import warnings

import torch
from torch import nn


EPS = 1e-5
TOKEN_EPS = 1e-6


class RmsNorm(nn.Module):
    """x / sqrt(mean(x^2) + EPS) over all of a sample's elements, one scale per channel."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        mean_square = x.square().mean(dim=tuple(range(1, x.ndim)), keepdim=True)
        scale = self.weight.view(-1, *(1 for _ in x.shape[2:]))
        return x * torch.rsqrt(mean_square + EPS) * scale


class TokenRmsNorm(nn.Module):
    """x / sqrt(mean(x^2) + TOKEN_EPS) over a token's channels, one scale per channel."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        mean_square = x.square().mean(dim=-1, keepdim=True)
        return x * torch.rsqrt(mean_square + TOKEN_EPS) * self.weight


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
    "none": lambda channels: nn.Identity(),
}

# The same for vectors. A channel of a vector is a single number, too few for InstanceNorm.
VECTOR_NORMS = {name: make for name, make in NORMS.items() if name != "in"}
VECTOR_NORMS["bn"] = lambda channels: nn.BatchNorm1d(channels, eps=EPS)

# The same for tokens, each of which is normalized alone.
TOKEN_NORMS = {
    "ln": lambda channels: nn.LayerNorm(channels, eps=TOKEN_EPS),
    "rms": TokenRmsNorm,
}


def decoupled(layer):
    """The layer with W_i = weight_g_i * weight_v_i / |weight_v_i| for every output i."""
    # Without a gradient: a network whose weights hang on a graph cannot be copied.
    with warnings.catch_warnings(), torch.no_grad():
        # The function is deprecated for one that names the parameters differently.
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(layer)


def conv2d(in_channels, out_channels, kernel, stride=1, groups=1, norm="bn", decouple=False):
    """A convolution in front of a norm; one of odd size keeps the resolution at stride 1."""
    plain = norm != "none"
    conv = nn.Conv2d(
        in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=not plain
    )
    return decoupled(conv) if decouple and not plain else conv


def unnormalized_conv2d(in_channels, out_channels, kernel, stride=1, decouple=False, norm="bn"):
    """A convolution whose output is added to: a bias only where no norm takes it away later."""
    bias = norm == "none"
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=bias)
    return decoupled(conv) if decouple else conv


def linear(in_features, out_features, decouple=False):
    """A linear layer that no norm follows."""
    layer = nn.Linear(in_features, out_features)
    return decoupled(layer) if decouple else layer


class BasicBlock(nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)).

    The shortcut is a 1x1 projection wherever the shape changes (option B of He et al.,
    2016), as in torchvision, and the identity elsewhere. Norms are called bn, whatever
    their kind.
    """

    expansion = 1

    def __init__(self, in_channels, width, stride, norm, decouple):
        super().__init__()
        options = {"norm": norm, "decouple": decouple}
        self.conv1 = conv2d(in_channels, width, 3, stride, **options)
        self.bn1 = NORMS[norm](width)
        self.conv2 = conv2d(width, width, 3, **options)
        self.bn2 = NORMS[norm](width)
        self.downsample = projection(in_channels, width, stride, **options)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    """The block of ResNet-50: 1x1 to `width`, 3x3 with the stride, 1x1 to four times `width`."""

    expansion = 4

    def __init__(self, in_channels, width, stride, norm, decouple):
        super().__init__()
        options = {"norm": norm, "decouple": decouple}
        out_channels = self.expansion * width
        self.conv1 = conv2d(in_channels, width, 1, **options)
        self.bn1 = NORMS[norm](width)
        self.conv2 = conv2d(width, width, 3, stride, **options)
        self.bn2 = NORMS[norm](width)
        self.conv3 = conv2d(width, out_channels, 1, **options)
        self.bn3 = NORMS[norm](out_channels)
        self.downsample = projection(in_channels, out_channels, stride, **options)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return torch.relu(self.bn3(self.conv3(x)) + shortcut)


def projection(in_channels, out_channels, stride, norm, decouple):
    """The shortcut of a block that changes the shape; None where it does not."""
    if stride == 1 and in_channels == out_channels:
        return None
    conv = conv2d(in_channels, out_channels, 1, stride, norm=norm, decouple=decouple)
    return nn.Sequential(conv, NORMS[norm](out_channels))


class ResNet(nn.Module):
    """A stem, then a stage of blocks per width, each stage but the first at half resolution.

    The stem "cifar" is a 3x3 convolution that keeps the resolution; "imagenet" is a 7x7
    convolution and a pooling that leave a quarter of it.
    """

    def __init__(
        self,
        blocks=(1, 1, 1),
        widths=(16, 32, 64),
        in_channels=3,
        num_classes=10,
        norm="bn",
        decouple=False,
        stem="cifar",
        block=BasicBlock,
    ):
        super().__init__()
        channels = widths[0]
        kernel, stride = STEMS[stem]
        self.conv1 = conv2d(in_channels, channels, kernel, stride, norm=norm, decouple=decouple)
        self.bn1 = NORMS[norm](channels)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if stem == "imagenet" else nn.Identity()
        for i, (depth, width) in enumerate(zip(blocks, widths, strict=True)):
            stage = []
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                stage.append(block(channels, width, stride, norm, decouple))
                channels = block.expansion * width
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
        self.stages = [f"layer{i + 1}" for i in range(len(blocks))]
        self.fc = linear(channels, num_classes, decouple)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return self.fc(x.mean(dim=(2, 3)))


class PreActBlock(nn.Module):
    """conv2(relu(bn2(conv1(h)))) + shortcut with h = relu(bn1(x)) (He et al., 2016, ECCV).

    The shortcut is x, or a 1x1 projection of h where the shape changes. A sum follows conv2
    and the projection, not a norm.
    """

    def __init__(self, in_channels, width, stride, norm, decouple):
        super().__init__()
        self.bn1 = NORMS[norm](in_channels)
        self.conv1 = conv2d(in_channels, width, 3, stride, norm=norm, decouple=decouple)
        self.bn2 = NORMS[norm](width)
        self.conv2 = unnormalized_conv2d(width, width, 3, decouple=decouple, norm=norm)
        self.downsample = None
        if stride != 1 or in_channels != width:
            conv = unnormalized_conv2d(in_channels, width, 1, stride, decouple, norm)
            self.downsample = nn.Sequential(conv)

    def forward(self, x):
        h = torch.relu(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(h)
        return self.conv2(torch.relu(self.bn2(self.conv1(h)))) + shortcut


class PreActResNet(nn.Module):
    """A ResNet of PreActBlocks, with the stem "cifar" and a norm in front of the pooling."""

    def __init__(
        self,
        blocks=(2, 2, 2, 2),
        widths=(64, 128, 256, 512),
        in_channels=3,
        num_classes=10,
        norm="bn",
        decouple=False,
    ):
        super().__init__()
        channels = widths[0]
        self.conv1 = unnormalized_conv2d(in_channels, channels, 3, decouple=decouple, norm=norm)
        for i, (depth, width) in enumerate(zip(blocks, widths, strict=True)):
            stage = []
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                stage.append(PreActBlock(channels, width, stride, norm, decouple))
                channels = width
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
        self.stages = [f"layer{i + 1}" for i in range(len(blocks))]
        self.bn = NORMS[norm](channels)
        self.fc = linear(channels, num_classes, decouple)

    def forward(self, x):
        x = self.conv1(x)
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return self.fc(torch.relu(self.bn(x)).mean(dim=(2, 3)))


class Vgg(nn.Module):
    """3x3 convolutions, each with norm and ReLU; 2x2 max pooling ends every stage of them.

    One linear layer behind global average pooling classifies. `features` is numbered as in
    torchvision, where a norm that is not there has no number.
    """

    def __init__(self, stages, in_channels=3, num_classes=10, norm="bn", decouple=False):
        super().__init__()
        features, channels = [], in_channels
        for stage in stages:
            for width in stage:
                features.append(conv2d(channels, width, 3, norm=norm, decouple=decouple))
                if norm != "none":
                    features.append(NORMS[norm](width))
                features.append(nn.ReLU())
                channels = width
            features.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*features)
        self.classifier = linear(channels, num_classes, decouple)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


class SeparableConv(nn.Module):
    """A 3x3 convolution within each channel, then a 1x1 across them, with norm and ReLU each."""

    def __init__(self, in_channels, out_channels, stride, norm, decouple):
        super().__init__()
        options = {"norm": norm, "decouple": decouple}
        self.conv1 = conv2d(in_channels, in_channels, 3, stride, groups=in_channels, **options)
        self.bn1 = NORMS[norm](in_channels)
        self.conv2 = conv2d(in_channels, out_channels, 1, **options)
        self.bn2 = NORMS[norm](out_channels)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)))


class MobileNet(nn.Module):
    """MobileNet of the first version with a 3x3 stem that keeps the resolution.

    `layers` holds (out channels, stride) of the separable convolutions.
    """

    def __init__(self, width, layers, in_channels=3, num_classes=10, norm="bn", decouple=False):
        super().__init__()
        self.conv1 = conv2d(in_channels, width, 3, norm=norm, decouple=decouple)
        self.bn1 = NORMS[norm](width)
        self.layers = nn.Sequential()
        for out_channels, stride in layers:
            self.layers.append(SeparableConv(width, out_channels, stride, norm, decouple))
            width = out_channels
        self.fc = linear(width, num_classes, decouple)

    def forward(self, x):
        x = self.layers(torch.relu(self.bn1(self.conv1(x))))
        return self.fc(x.mean(dim=(2, 3)))


class PatchEmbed(nn.Module):
    """One token per patch, rows of patches from top to bottom: [N, C, H, W] to [N, T, D]."""

    def __init__(self, in_channels, dim, patch, decouple):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, patch, patch)
        if decouple:
            decoupled(self.proj)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class Perceptron(nn.Module):
    """Two linear layers over the last axis with GELU, the exact one, between them."""

    def __init__(self, features, hidden, decouple):
        super().__init__()
        self.fc1 = linear(features, hidden, decouple)
        self.fc2 = linear(hidden, features, decouple)

    def forward(self, x):
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Attention(nn.Module):
    """Self-attention; the outputs of qkv are queries, keys and values, each head by head."""

    def __init__(self, dim, heads, decouple):
        super().__init__()
        self.heads = heads
        self.qkv = linear(dim, 3 * dim, decouple)
        self.proj = linear(dim, dim, decouple)

    def forward(self, x):
        n, t, d = x.shape
        qkv = self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(n, t, d))


class TransformerBlock(nn.Module):
    """x + attn(norm1(x)), then x + mlp(norm2(x))."""

    def __init__(self, dim, heads, norm, decouple):
        super().__init__()
        self.norm1 = TOKEN_NORMS[norm](dim)
        self.attn = Attention(dim, heads, decouple)
        self.norm2 = TOKEN_NORMS[norm](dim)
        self.mlp = Perceptron(dim, 4 * dim, decouple)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Vision transformer for square images; the class token, which is the first, decides."""

    def __init__(
        self,
        in_channels=3,
        image_size=32,
        num_classes=10,
        patch=4,
        dim=192,
        depth=12,
        heads=3,
        norm="ln",
        decouple=False,
    ):
        super().__init__()
        tokens = (image_size // patch) ** 2
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + tokens, dim))
        self.patch_embed = PatchEmbed(in_channels, dim, patch, decouple)
        self.blocks = nn.Sequential(
            *(TransformerBlock(dim, heads, norm, decouple) for _ in range(depth))
        )
        self.norm = TOKEN_NORMS[norm](dim)
        self.head = linear(dim, num_classes, decouple)

    def forward(self, x):
        x = self.patch_embed(x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        x = self.blocks(x + self.pos_embed)
        return self.head(self.norm(x)[:, 0])


class MixerBlock(nn.Module):
    """x + mlp_tokens over the tokens of norm1(x), then x + mlp_channels(norm2(x))."""

    def __init__(self, tokens, dim, norm, decouple):
        super().__init__()
        self.norm1 = TOKEN_NORMS[norm](dim)
        self.mlp_tokens = Perceptron(tokens, dim // 2, decouple)
        self.norm2 = TOKEN_NORMS[norm](dim)
        self.mlp_channels = Perceptron(dim, 4 * dim, decouple)

    def forward(self, x):
        x = x + self.mlp_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.mlp_channels(self.norm2(x))


class MlpMixer(nn.Module):
    """MLP-Mixer for square images; the mean over tokens decides."""

    def __init__(
        self,
        in_channels=3,
        image_size=32,
        num_classes=10,
        patch=4,
        dim=128,
        depth=8,
        norm="ln",
        decouple=False,
    ):
        super().__init__()
        tokens = (image_size // patch) ** 2
        self.stem = PatchEmbed(in_channels, dim, patch, decouple)
        self.blocks = nn.Sequential(
            *(MixerBlock(tokens, dim, norm, decouple) for _ in range(depth))
        )
        self.norm = TOKEN_NORMS[norm](dim)
        self.head = linear(dim, num_classes, decouple)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.stem(x))).mean(dim=1))


class Mlp(nn.Module):
    """Linear, norm and ReLU for each hidden width, then the classifier.

    Hidden layers have no bias: the normalization that follows would cancel it.
    """

    def __init__(self, in_features, num_classes, hidden=(64, 64, 64), norm="bn", decouple=False):
        super().__init__()
        self.depth = len(hidden)
        for i, width in enumerate(hidden, start=1):
            if norm == "none":
                layer = linear(in_features, width, decouple)
            else:
                layer = nn.Linear(in_features, width, bias=False)
            self.add_module(f"fc{i}", layer)
            self.add_module(f"bn{i}", VECTOR_NORMS[norm](width))
            in_features = width
        self.fc = linear(in_features, num_classes, decouple)

    def forward(self, x):
        x = x.flatten(1)
        for i in range(1, self.depth + 1):
            x = self.get_submodule(f"fc{i}")(x)
            x = torch.relu(self.get_submodule(f"bn{i}")(x))
        return self.fc(x)


# Kernel and stride of the first convolution.
STEMS = {"cifar": (3, 1), "imagenet": (7, 2)}

CIFAR_RESNETS = {"resnet8": (1, 1, 1), "resnet20": (3, 3, 3)}
RESNETS = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}
WIDTHS = (64, 128, 256, 512)
VGGS = {
    "vgg11": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "vgg16": ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
}
MOBILENET = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1),
    (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
TOKEN_MODELS = ("vit_tiny", "mlp_mixer")
MODELS = (
    "mlp", *CIFAR_RESNETS, *RESNETS, "preact_resnet18", *VGGS, "mobilenet", *TOKEN_MODELS
)  # fmt: skip


def norms_of(name):
    """The names of the norms that a network can have."""
    if name == "mlp":
        return VECTOR_NORMS
    return TOKEN_NORMS if name in TOKEN_MODELS else NORMS


def default_norm(name):
    """The norm of a network for which none is named."""
    return "ln" if name in TOKEN_MODELS else "bn"


def build(name, in_channels, image_size, num_classes, norm=None, decouple=False, stem=None):
    """Builds a network by its command-line name, for square images."""
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; choose from {', '.join(MODELS)}")
    norm = norm or default_norm(name)
    if norm not in norms_of(name):
        raise ValueError(f"{name} with norm {norm!r}; choose from {', '.join(norms_of(name))}")
    if stem and name not in RESNETS:
        raise ValueError(f"{name} with a stem; only {', '.join(RESNETS)} have a choice")
    if stem and stem not in STEMS:
        raise ValueError(f"unknown stem {stem!r}; choose from {', '.join(STEMS)}")

    options = {"num_classes": num_classes, "norm": norm, "decouple": decouple}
    if name == "mlp":
        return Mlp(in_channels * image_size**2, **options)
    options["in_channels"] = in_channels
    if name in CIFAR_RESNETS:
        return ResNet(CIFAR_RESNETS[name], **options)
    if name in RESNETS:
        block, blocks = RESNETS[name]
        stem = stem or ("cifar" if image_size < 64 else "imagenet")
        return ResNet(blocks, WIDTHS, stem=stem, block=block, **options)
    if name == "preact_resnet18":
        return PreActResNet(**options)
    if name in VGGS:
        return Vgg(VGGS[name], **options)
    if name == "mobilenet":
        return MobileNet(32, MOBILENET, **options)
    if name == "vit_tiny":
        return VisionTransformer(image_size=image_size, **options)
    return MlpMixer(image_size=image_size, **options)
