"""Writes the files that tests of reading PyTorch's exported networks use: tiny networks (pt2_networks.py), exported by PyTorch.

    python tools/make_pt2.py [FOLDER] [--only NAME]

For every network NAME the folder gets

NAME.pt2
    What torch.export.save writes, without where nodes come from, which names places on this machine. Those in STORED are as
    PyTorch's writer leaves them; the others are zipped anew with compression, as people do.

NAME.txt
    What the reader must find in it, by PyTorch's own reader and in its own terms: a line for each input, node, output, value of the graph and
    tensor (`describe` below). The values of a tensor are the first 16 hexadecimal digits of the SHA-256 of its elements as
    little-endian float64 in C order; behind them stands the first of the names that share its memory.

NAME.safetensors
    What the network computes from these weights, in float64, by PyTorch's own differentiation, in training mode, whatever the mode
    of the export. Random masks are ours (random_masks.py), of seed 0 and batch 0.

    input.I               the inputs that are tensors, by their number; float64 or int64
    target                the labels, int64
    output                the output in training mode, from the file's buffers
    loss                  the mean cross-entropy of it, over all labels
    grad.PARAMETER        the gradient of the loss, for every parameter that is trained, by its first name
    row_sum.PARAMETER     H_bb·1 for every such parameter of one axis, by double backward
    block.PARAMETER       H_bb, dense, for the first, the middle and the last parameter of one axis
    buffer.BUFFER         the buffers that the training forward has changed, after it
    evaluation            the output in evaluation mode, from the file's buffers

The output depends only on the seeds below and on the PyTorch version. Two runs on one machine write the same bytes.
"""

import argparse
import contextlib
import copy
import hashlib
import io
import warnings
import zipfile
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.export import Dim
from torch.export.graph_signature import ConstantArgument
from torch.nn.attention import SDPBackend, sdpa_kernel

import random_masks
from pt2_networks import CASES

FOLDER = Path(__file__).resolve().parent.parent / "crates" / "pt2" / "tests" / "files"
STORED = ("two_inputs", "mixed")
DENSE = 16


def build(name):
    """The network, off its defaults: with a scale of 1 and a shift of 0 a wrong rule can pass."""
    case = CASES[name]
    torch.manual_seed(0)
    model = case.build()
    with torch.no_grad():
        for param in model.parameters():
            if param.ndim == 1:
                param.add_(torch.randn(param.shape) * 0.2)
        for key, buffer in model.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_(0.0, 0.3)
            elif key.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    torch.manual_seed(1)
    return model, case.inputs(), case.targets()


def export(name, model, inputs):
    case = CASES[name]
    model.train(case.mode)
    batch = {0: Dim("batch", min=2, max=4096)}
    shapes = tuple(batch if isinstance(x, torch.Tensor) else None for x in inputs) if case.dynamic else None
    program = torch.export.export(model, inputs, dynamic_shapes=shapes)
    if case.decomposed:
        program = program.run_decompositions()
    for node in program.graph.nodes:
        for private in ("stack_trace", "from_node"):
            node.meta.pop(private, None)
    return program


def save(name, program, path):
    file = io.BytesIO()
    torch.export.save(program, file)
    if name in STORED:
        path.write_bytes(file.getvalue())
        return
    with zipfile.ZipFile(file) as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for entry in plain.infolist():
            packed.writestr(zipfile.ZipInfo(entry.filename), plain.read(entry), zipfile.ZIP_DEFLATED, 9)


# What PyTorch's reader makes of a file, as lines of text.


def word(value):
    """An argument."""
    if isinstance(value, torch.fx.Node):
        return f"%{value.name}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(word(v) for v in value)}]"
    if isinstance(value, (torch.device, torch.layout, torch.memory_format)):
        return "other"
    if isinstance(value, float):
        digits, _, exponent = f"{value:.17e}".partition("e")
        return f"{digits}e{int(exponent)}" if exponent else digits
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    return str(value)


def arguments(node):
    """Pairs of name and argument. Operators of Python have no names."""
    if isinstance(node.target, torch._ops.OpOverload):
        names = [a.name for a in node.target._schema.arguments]
        pairs = list(zip(names, node.args)) + list(node.kwargs.items())
    else:
        pairs = [("", value) for value in node.args]
    return ", ".join(f"{name}={word(value)}" for name, value in pairs)


def made(node):
    """What a node makes: with several results, those that somebody takes by their names."""
    value = node.meta.get("val")
    if value is None:
        return ""
    if not isinstance(value, (list, tuple)):
        return f"%{node.name}"
    taken = {user.args[1]: user.name for user in node.users}
    return ", ".join(f"%{taken[i]}" if i in taken else "_" for i in range(len(value)))


def modules(node):
    stack = node.meta.get("nn_module_stack", {}).items()
    return " > ".join(f"{path}:{kind}" for key, (path, kind) in stack if key != "_empty_nn_module_stack_from_metadata_hook")


def memory(tensor):
    return tensor.untyped_storage().data_ptr()


def describe(path):
    program = torch.export.load(path)
    lines = [f"torch {torch.__version__}"]
    for spec in program.graph_signature.input_specs:
        kind = spec.kind.name.lower()
        value = f" = {word(spec.arg.value)}" if isinstance(spec.arg, ConstantArgument) else ""
        frozen = kind == "parameter" and not program.state_dict[spec.target].requires_grad
        lines.append(f"input %{spec.arg.name} {kind} {spec.target} {spec.persistent}{value}{' frozen' if frozen else ''}")
    for node in program.graph.nodes:
        target = node.target
        if node.op != "call_function" or target.__name__ == "getitem":
            continue
        name = str(target) if isinstance(target, torch._ops.OpOverload) else f"{target.__module__}.{target.__name__}"
        lines.append(f"node {name}({arguments(node)}) -> {made(node)} in {modules(node)}")
    for spec in program.graph_signature.output_specs:
        lines.append(f"output %{spec.arg.name} {spec.kind.name.lower()} {spec.target}")
    for node in sorted(program.graph.nodes, key=lambda node: node.name):
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor):
            # The size of the batch is the one symbol: its name is drawn anew by the reader.
            sizes = ", ".join(str(s) if isinstance(s, int) else f"{s.node.hint}?" for s in value.shape)
            lines.append(f"value %{node.name} {str(value.dtype).removeprefix('torch.')} [{sizes}]")
    tensors = {**program.state_dict, **program.constants}
    for key in sorted(tensors):
        tensor = tensors[key].detach()
        first = min(k for k in tensors if memory(tensors[k]) == memory(tensor))
        digest = hashlib.sha256(tensor.double().contiguous().numpy().tobytes()).hexdigest()[:16]
        kind = str(tensor.dtype).removeprefix("torch.")
        place = f"{list(tensor.shape)} {list(tensor.stride())} {tensor.storage_offset()}"
        lines.append(f"tensor {key} {kind} {place} {digest} {first}")
    return "\n".join(lines) + "\n"


# What the network computes.


def compute(model, inputs, targets):
    model = copy.deepcopy(model).double().train()
    tensor = torch.Tensor
    inputs = [x.double() if isinstance(x, tensor) and x.is_floating_point() else x for x in inputs]
    fresh = copy.deepcopy(model)
    numbers = {f"input.{i}": x for i, x in enumerate(inputs) if isinstance(x, tensor)} | {"target": targets}
    before = {key: value.clone() for key, value in model.named_buffers()}
    with random_masks.ours():
        output = model(*inputs)
    for key, value in model.named_buffers():
        if not torch.equal(value, before[key]):
            numbers[f"buffer.{key}"] = value.double()
    loss = F.cross_entropy(output.flatten(0, -2), targets.flatten())
    numbers |= {"output": output, "loss": loss}
    params = {key: param for key, param in model.named_parameters() if param.requires_grad}
    grads = dict(zip(params, torch.autograd.grad(loss, list(params.values()), create_graph=True)))
    lines = [key for key, param in params.items() if param.ndim == 1]
    dense = {lines[0], lines[len(lines) // 2], lines[-1]} if lines else set()
    for key, grad in grads.items():
        numbers[f"grad.{key}"] = grad
        if key in lines:
            numbers[f"row_sum.{key}"] = derivative(grad.sum(), params[key])
        if key in dense:
            assert grad.numel() <= DENSE
            numbers[f"block.{key}"] = torch.stack([derivative(g, params[key]) for g in grad])
    with torch.no_grad():
        numbers["evaluation"] = fresh.eval()(*inputs)
    return {key: value.detach().clone().contiguous() for key, value in numbers.items()}


@contextlib.contextmanager
def twice_differentiable():
    """PyTorch has no second derivative of fused attention, nor of its hardsigmoid; it has those of what they are made of."""
    fused = F.hardsigmoid
    F.hardsigmoid = lambda x, inplace=False: F.relu6(x + 3) / 6
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        F.hardsigmoid = fused


def check(name, path, inputs, numbers):
    """The file computes what the numbers say, in its own mode and to the precision of its weights, where nothing in it is random."""
    with torch.no_grad():
        output = torch.export.load(path).module()(*inputs)
    expected = numbers["output" if CASES[name].mode else "evaluation"]
    if name != "dropped":
        torch.testing.assert_close(output.double(), expected, rtol=1e-4, atol=1e-4)
    assert all(value.isfinite().all() for value in numbers.values())


def derivative(value, param):
    """The gradient of a gradient. What does not depend on the parameter has none."""
    if not value.requires_grad:
        return torch.zeros_like(param)
    (grad,) = torch.autograd.grad(value, param, retain_graph=True, allow_unused=True)
    return torch.zeros_like(param) if grad is None else grad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--only", choices=CASES, help="write this network alone")
    flags = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    flags.folder.mkdir(parents=True, exist_ok=True)
    for name in [flags.only] if flags.only else CASES:
        model, inputs, targets = build(name)
        path = flags.folder / f"{name}.pt2"
        with twice_differentiable():
            numbers = compute(model, inputs, targets)
        save(name, export(name, model, inputs), path)
        path.with_suffix(".txt").write_text(describe(path))
        check(name, path, inputs, numbers)
        save_file(numbers, path.with_suffix(".safetensors"), metadata={"torch_version": torch.__version__})
        sizes = ", ".join(f"{s} {path.with_suffix(s).stat().st_size}" for s in (".pt2", ".txt", ".safetensors"))
        print(f"{name}: {sum(p.numel() for p in model.parameters())} weights; {sizes}")


if __name__ == "__main__":
    main()
