# SPDX-License-Identifier: Apache-2.0
"""A model, dataset or chat template with code of its own cannot run it.

Each of them would write a file if it did. Python itself first shows that the trap works.
"""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category
from trainer.in_process import Trained, train

pytestmark = pytest.mark.slow


class Touching:
    """When unpickled, it creates a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self._file),)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """The file that exists after the code has run."""
    return tmp_path / "was-here"


def touching_code(trap: Path) -> str:
    return f"import os\nos.mkdir({str(trap)!r})\n"


def assert_refused(trained: Trained, trap: Path) -> None:
    failure = trained.outcome.failure
    assert failure is not None
    assert not trap.exists()
    assert failure.category is Category.USER, trained.words()


def a_copy(model: Path, place: Path) -> Path:
    return Path(shutil.copytree(model, place / "model"))


def test_the_test_trap_detects_executed_code(trap: Path) -> None:
    pickle.loads(pickle.dumps(Touching(trap)))  # noqa: S301 - the test's own

    assert trap.exists()


def test_pickled_weights_execute_no_code(
    tmp_path: Path, trap: Path, tiny_model: Path, dialogues: Path
) -> None:
    import torch

    model = a_copy(tiny_model, tmp_path)
    (model / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Touching(trap)}, model / "pytorch_model.bin")

    assert_refused(train(tmp_path, model, dialogues), trap)


@pytest.mark.parametrize("auto_class", ["AutoConfig", "AutoModelForCausalLM", "AutoTokenizer"])
def test_code_in_a_models_directory_is_not_executed(
    tmp_path: Path, trap: Path, tiny_model: Path, dialogues: Path, auto_class: str
) -> None:
    model = a_copy(tiny_model, tmp_path)
    (model / "evil.py").write_text(touching_code(trap))
    file = "tokenizer_config.json" if auto_class == "AutoTokenizer" else "config.json"
    config = json.loads((model / file).read_text())
    target: Any = ["evil.Evil", None] if auto_class == "AutoTokenizer" else "evil.Evil"
    config["auto_map"] = {auto_class: target}
    if auto_class != "AutoTokenizer":
        config["model_type"] = "evil"
    (model / file).write_text(json.dumps(config))

    train(tmp_path, model, dialogues)

    assert not trap.exists()


def test_a_script_next_to_the_data_is_not_executed(
    tmp_path: Path, trap: Path, tiny_model: Path, dialogues: Path
) -> None:
    data = Path(shutil.copytree(dialogues, tmp_path / "data"))
    for name in ("__init__.py", "train.py"):
        (data / name).write_text(touching_code(trap))

    assert train(tmp_path, tiny_model, data).outcome.failure is None
    assert not trap.exists()


def test_a_datasets_own_script_is_refused(
    tmp_path: Path, trap: Path, tiny_model: Path, dialogues: Path
) -> None:
    data = Path(shutil.copytree(dialogues, tmp_path / "data"))
    (data / "data.py").write_text(touching_code(trap))

    assert_refused(train(tmp_path, tiny_model, data), trap)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__.__base__.__subclasses__()[40]('/etc/passwd').read() }}",
        "{{ cycler.__init__.__globals__.os.mkdir('TRAP') }}",
        "{{ self.__init__.__globals__.__builtins__.__import__('os').mkdir('TRAP') }}",
    ],
)
def test_a_chat_template_cannot_escape_its_sandbox(
    tmp_path: Path, trap: Path, tiny_model: Path, dialogues: Path, template: str
) -> None:
    file = tmp_path / "template.jinja"
    file.write_text(template.replace("TRAP", str(trap)))

    trained = train(tmp_path, tiny_model, dialogues, chat_template_path=str(file))

    assert_refused(trained, trap)


def test_a_link_in_a_data_directory_exposes_only_what_the_process_may_read(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    data = Path(shutil.copytree(dialogues, tmp_path / "data"))
    (data / "train.jsonl").unlink()
    (data / "train.jsonl").symlink_to("/proc/self/environ")

    trained = train(tmp_path, tiny_model, data)

    assert trained.outcome.failure is not None
    assert os.environ["PATH"] not in trained.words()
