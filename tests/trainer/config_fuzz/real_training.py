# SPDX-License-Identifier: Apache-2.0
"""Trains a model of a few thousand weights with a config, for a step or two, like the trainer.

Imports TRL, and torch with it.
"""

import io
import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import datasets
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.building import build_trainer
from finetune_trainer.ranks.data.loading import load_data
from finetune_trainer.ranks.training import run_training
from trainer import imported
from trainer.config_fuzz.draws import Fuzzed
from trainer.config_fuzz.real_parser import Answer, Verdict, node, parse, plan_of, verdict_on
from trainer.config_fuzz.text_values import VALUES
from trainer.runs import a_folder

_QUESTION = "hello there where are you"
_ANSWER = "ahoy at sea"
_SPECIAL = ("<unk>", "<pad>", "</s>", "<|user|>", "<|assistant|>")
_WORDS = (*_SPECIAL, *_QUESTION.split(), *_ANSWER.split())
_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|> "
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }} </s>"
    "{% endgeneration %}{% else %}{{ message['content'] }} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|> {% endif %}"
)
_ROW = {
    "messages": [
        {"role": "user", "content": _QUESTION},
        {"role": "assistant", "content": _ANSWER},
    ]
}
_FILES = {
    f"{split}.jsonl": (json.dumps(_ROW) + "\n").encode() * 16
    for split in ("train", "validation", "test")
}
_STEPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """The directories of a tiny model and tiny data."""

    place: Path
    local_paths: Mapping[str, Path]
    """Paths of every model and dataset that a fuzzed config names."""


def open_workshop(place: Path) -> Workshop:
    datasets.config.HF_DATASETS_CACHE = place / "cache"
    datasets.disable_progress_bars()
    disable_progress_bar()
    models_and_data = {
        "model_name_or_path": _make_model(place / "model"),
        "dataset_name": a_folder(place / "data", _FILES),
    }
    paths = {name: path for key, path in models_and_data.items() for name in VALUES[key].typical}
    mixed = {part["path"] for parts in VALUES["datasets"].typical for part in parts}
    imported.keep()
    return Workshop(
        place=place, local_paths=paths | dict.fromkeys(mixed, models_and_data["dataset_name"])
    )


def _make_model(folder: Path) -> Path:
    vocabulary = {word: number for number, word in enumerate(_WORDS)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
    )
    tokenizer.chat_template = _TEMPLATE
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(_WORDS),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def train(fuzzed: Fuzzed, workshop: Workshop) -> Verdict:
    """Trains with a config of a node without GPUs."""
    step = "plan"
    try:
        plan = plan_of(fuzzed, workshop.place / "output", workshop.local_paths)
        with node(0), _left_as_found():
            step = "parse"
            arguments = parse(plan, workshop.place)
            _shorten(arguments)
            step = "data"
            data = load_data(arguments).dataset
            step = "build"
            trainer = build_trainer(arguments, data)
            step = "train"
            run_training(trainer, None)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever TRL raises is its verdict
        return verdict_on(step, error)
    return Verdict(answer=Answer.ACCEPTED)


@contextmanager
def _left_as_found() -> Iterator[None]:
    """Restores the process-wide effects of configs: output, and the handler of SIGTERM.

    Several threads would wait for each other far longer than such a model takes.
    """
    threads = torch.get_num_threads()
    handler = signal.getsignal(signal.SIGTERM)
    torch.set_num_threads(1)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)
        signal.signal(signal.SIGTERM, handler)


def _shorten(arguments: Arguments) -> None:
    training = arguments.training
    if training.max_steps > _STEPS:
        training.max_steps = _STEPS
    if training.num_train_epochs > 1:
        training.num_train_epochs = 1
