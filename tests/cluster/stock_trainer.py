# SPDX-License-Identifier: Apache-2.0
"""An image without our code: a few steps of transformers' own Trainer, as users run it."""

import tempfile
from pathlib import Path

from testbed import images
from testbed.images import TRAINER, Image

TAG = "localhost/stock-trainer:dev"
STEPS = 3

SCRIPT = f"""\
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

sizes = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
words = [11, 12, 13, 14]
Trainer(
    model=LlamaForCausalLM(LlamaConfig(vocab_size=32, **sizes)),
    args=TrainingArguments(
        output_dir="/tmp/out", max_steps={STEPS}, logging_steps=1, save_strategy="no", use_cpu=True
    ),
    train_dataset=[{{"input_ids": words, "labels": words}}] * {STEPS},
).train()
"""


def build() -> None:
    """On top of the trainer's image, for its packages; our own cannot be imported there."""
    with tempfile.TemporaryDirectory() as context:
        (Path(context) / "train.py").write_text(SCRIPT)
        dockerfile = Path(context) / "Dockerfile"
        dockerfile.write_text(
            f"FROM {TRAINER.tag}\nCOPY --chmod=644 train.py /train.py\nENV PYTHONPATH=\n"
            'ENTRYPOINT ["python3", "/train.py"]\n'
        )
        images.build(Image(tag=TAG, dockerfile=dockerfile, context=Path(context)))
