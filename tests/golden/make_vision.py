"""Make the golden arrays of the encoders that see spectrograms as pictures, with PyTorch.

    python tests/golden/make_vision.py

wants torch 2.13.0 for CPUs, torchvision 0.28.0 and transformers 5.23.0, in an environment without
TensorFlow; the format is that of `make_models.py`. Inputs and weights take few different values,
which compress well.
"""

import tempfile

import safetensors.torch
import torch
import transformers
from make_models import save
from torch import nn

# torchvision's compiled operators, none of which is run, do not load beside torch for CPUs alone;
# its import asks for two of them.
OPERATORS = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    OPERATORS.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torchvision  # noqa: E402
from torchvision.models.resnet import BasicBlock, ResNet  # noqa: E402

FRAMES, BINS = (97, 94, 20), 95
IMAGE_SIZE = 32


def encoder_alexnet():
    """torchvision's AlexNet with fewer filters, each row alone.

    The third is shorter than the layers take, and filled up to what they take.
    """
    filters = [4, 6, 8, 6, 5]
    reference = nn.Module()
    reference.features = nn.Sequential(
        nn.Conv2d(3, filters[0], kernel_size=11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(filters[0], filters[1], kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(filters[1], filters[2], kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(filters[2], filters[3], kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(filters[3], filters[4], kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
    )
    _coarsen(reference)
    sequence = _coarse(3, max(FRAMES), BINS, 3)
    answers = []
    for row, frames in enumerate(FRAMES):
        alone = torch.zeros(1, max(frames, 63), BINS, 3)
        alone[0, :frames] = sequence[row, :frames]
        answer = reference.features(alone.permute(0, 3, 1, 2))  # height is time
        answers.append(answer[0].flatten(1).T)  # (positions, filters)
    steps = max(len(answer) for answer in answers)
    states, mask = torch.zeros(3, steps, filters[-1]), torch.zeros(3, steps, dtype=torch.bool)
    for row, answer in enumerate(answers):
        states[row, : len(answer)] = answer
        mask[row, : len(answer)] = True
    save(
        "encoder_alexnet",
        {"sequence": sequence, "mask": torch.arange(max(FRAMES))[None] < _column(FRAMES)},
        {"sequence": states, "mask": mask},
        options={"filters": filters},
        checkpoint=reference.state_dict() | {"classifier.6.bias": torch.zeros(4)},
    )


def encoder_resnet34():
    """torchvision's ResNet, with one block a stack and fewer filters after the first stack."""
    filters, num_blocks = [64, 8, 6, 5], [1, 1, 1, 1]
    reference = ResNet(BasicBlock, num_blocks, num_classes=4)
    reference.inplanes = filters[0]
    for stack in (2, 3, 4):
        layer = reference._make_layer(BasicBlock, filters[stack - 1], 1, stride=2)
        setattr(reference, f"layer{stack}", layer)
    reference.fc = nn.Linear(filters[-1], 4)
    _coarsen(reference.eval())
    image = torch.randint(0, 256, (3, 2 * IMAGE_SIZE, IMAGE_SIZE, 3), dtype=torch.uint8)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    features = nn.Sequential(*list(reference.children())[:-2])  # without pool and classifier
    states = features(((image / 255 - mean) / deviation).permute(0, 3, 1, 2)).flatten(2)
    save(
        "encoder_resnet34",
        {"image": image},
        {"sequence": states.transpose(1, 2), "mask": _all_true(states.transpose(1, 2))},
        options={"filters": filters, "num_blocks": num_blocks},
        checkpoint=reference.state_dict(),
        libraries=(torch, transformers, torchvision),
    )


def encoder_vit():
    """transformers' ViTModel, with weights so large that its nonlinearities matter."""
    config = transformers.ViTConfig(
        image_size=IMAGE_SIZE,
        patch_size=8,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        layer_norm_eps=1e-3,
        initializer_range=0.5,
        attn_implementation="eager",
    )
    reference = transformers.ViTModel(config).eval()
    image = torch.randint(0, 256, (3, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=torch.uint8)
    pixels = (image / 255 - 0.5) / 0.5
    states = reference(pixel_values=pixels.permute(0, 3, 1, 2)).last_hidden_state
    with tempfile.TemporaryDirectory() as folder:
        reference.save_pretrained(folder)  # the names in the file are not those of the modules
        checkpoint = safetensors.torch.load_file(f"{folder}/model.safetensors")
    save(
        "encoder_vit",
        {"image": image},
        {"sequence": states, "mask": _all_true(states)},
        options={
            "image_size": config.image_size,
            "patch_size": config.patch_size,
            "hidden_dim": config.hidden_size,
            "num_layers": config.num_hidden_layers,
            "num_heads": config.num_attention_heads,
            "intermediate_dim": config.intermediate_size,
            "layer_norm_epsilon": config.layer_norm_eps,
        },
        checkpoint=checkpoint,
        config=config.to_json_string(),
    )


def _coarsen(module):
    """Few different weights, of the size that keeps the variance through ReLU layers."""
    for name, parameter in module.named_parameters():
        spread = parameter[0].numel() if parameter.ndim > 1 else 8
        parameter.copy_(_coarse(*parameter.shape) * (2 / spread) ** 0.5)
        if name.endswith(("bn1.weight", "bn2.weight", "downsample.1.weight")):
            parameter.copy_(0.5 + parameter.abs())
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(_coarse(*buffer.shape) / 4)
        if name.endswith("running_var"):
            buffer.copy_(0.5 + _coarse(*buffer.shape).abs())


def _coarse(*shape):
    return torch.randn(*shape).round()


def _column(values):
    return torch.tensor(values)[:, None]


def _all_true(states):
    return torch.ones(states.shape[:2], dtype=torch.bool)


if __name__ == "__main__":
    torch.manual_seed(2)
    with torch.no_grad():
        encoder_alexnet()
        encoder_resnet34()
        encoder_vit()
