"""What a trainer's process imports is read by the oldest Python that a framework's build needs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHARED = (
    "scripts/hotplate_tools/training/child.py",
    "scripts/hotplate_tools/training/packages.py",
    "scripts/hotplate_tools/training/trainer.py",
    "scripts/hotplate_tools/failures.py",
    "layers/serving/python/hotplate/errors.py",
    "layers/serving/python/hotplate/limits.py",
    "layers/serving/python/hotplate/runtime/transforms.py",
)


@pytest.mark.parametrize("path", SHARED)
def test_module_is_python_3_11(path: str) -> None:
    ast.parse((ROOT / path).read_text(), feature_version=(3, 11))


def test_child_imports_nothing_of_the_serving_path() -> None:
    code = "import sys, hotplate_tools.training.child, hotplate_tools.training.packages\n"
    code += "import hotplate.runtime.transforms\n"
    code += "print([name for name in ('onnx', 'onnxruntime', 'msgspec', 'pydantic', 'rich', 'click')"
    code += " if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("module", ["co2", "diabetes", "digit_features", "digits", "spam"])
def test_trainer_imports_its_framework_only_when_it_trains(module: str) -> None:
    code = f"import sys, hotplate_tools.models.{module}.train\n"
    code += "print([name for name in ('keras', 'tensorflow', 'torch', 'sklearn') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"
