# SPDX-License-Identifier: Apache-2.0
"""Builds the trainer, with the same arguments as TRL's `sft.py`."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from transformers import AutoProcessor

from finetune_contract.notes import Note
from finetune_spec.attention import Attention
from finetune_trainer.failures.errors import Stage
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.attention.choice import settle_attention
from finetune_trainer.ranks.attention.trainer import FlatTrainer
from finetune_trainer.ranks.averaging import AveragingTrainer
from finetune_trainer.ranks.chat import is_chat
from finetune_trainer.ranks.chat.ends import settle_ending
from finetune_trainer.ranks.chat.template import settle_template
from finetune_trainer.ranks.classifying import classifying
from finetune_trainer.ranks.data import effects
from finetune_trainer.ranks.data.preparation import AccountingTrainer
from finetune_trainer.ranks.evaluation.judging import JudgingTrainer
from finetune_trainer.ranks.model import (
    adapter,
    freezing,
    recomputation,
    starting_adapter,
    tokens,
)
from finetune_trainer.ranks.model.loading import attention_named, load_model
from finetune_trainer.ranks.movement.trainer import WatchedTrainer
from finetune_trainer.ranks.resumption import ResumableTrainer


class Trainer(
    JudgingTrainer,
    AccountingTrainer,
    WatchedTrainer,
    FlatTrainer,
    AveragingTrainer,
    ResumableTrainer,
):
    """TRL's trainer with an account of its data and of changed weights, exact resumption, and
    judged answers.
    """

    is_chat = False
    """Whether it learns from conversations."""
    attention: Attention
    notes: tuple[Note, ...] = ()
    """Notes about the loaded model, and about keys without effect."""

    def create_optimizer(self, *options: Any, **named: Any) -> Any:
        """In the stage of the config, so that an error counts as an error of the config."""
        with classifying(Stage.CONFIG):
            return super().create_optimizer(*options, **named)

    def create_scheduler(self, *options: Any, **named: Any) -> Any:
        """The same."""
        with classifying(Stage.CONFIG):
            scheduler = super().create_scheduler(*options, **named)
        # DeepSpeed requests another one, through a copy of this trainer, while it is still working.
        if not options and named.get("optimizer") is None:
            self.begin_watch()
        return scheduler


def build_trainer(
    arguments: Arguments,
    dataset: Mapping[str, Any],
    load: Callable[[Arguments], Any] = load_model,
    kind: type[Trainer] = Trainer,
) -> Trainer:
    """TRL's trainer for this config and these splits, with the model that `load` returns."""
    script, tuning = arguments.script, arguments.tuning
    train = dataset[script.dataset_train_split]
    training = copy.copy(arguments.training)
    # They are in the model by now; TRL would warn that it ignores them.
    training.model_init_kwargs = None
    if training.n_gpu > 1:
        # One process trains on one GPU, however many are visible. Otherwise transformers would set
        # up `nn.DataParallel`, which TRL refuses.
        training._n_gpu = 1
    processor = load_processor(arguments)
    row: Mapping[str, Any] = next(iter(train), {})
    settle_template(processor, training, row, tuning.added_tokens or ())
    model = load(arguments)
    # Here, and not later: PEFT wraps the model.
    loading_notes = model.loading_notes
    added = tokens.add_tokens(model, processor, tuning.added_tokens or ())
    if arguments.model.use_peft and tokens.clones_template(training) and freezing.is_tied(model):
        added += tokens.clone_template(model, processor, training)
    recomputation.settle_recomputation(model, training)
    attention = settle_attention(model, training, attention_named(arguments))
    if tuning.num_layers_unfrozen is not None:
        freezing.freeze_all_but_last(model, tuning.num_layers_unfrozen)
    if arguments.adapter is not None:
        model = starting_adapter.put_on(model, arguments.adapter, arguments, processor)
    trainer = kind(
        model=model,
        args=training,
        processing_class=processor,
        train_dataset=train,
        eval_dataset=dataset[script.dataset_test_split] if training.eval_strategy != "no" else None,
        peft_config=None
        if arguments.adapter is not None
        else adapter.adapter_config(arguments, model, added),
        cpus=arguments.cpus,
    )
    adapter.fit_token_rows(trainer.model, is_sharded=bool(training.fsdp))
    trainer.attention = attention
    trainer.is_chat = is_chat(row)
    trainer.notes = (*loading_notes, *effects.notes_of(row, arguments, is_chat=trainer.is_chat))
    settle_ending(trainer, is_chat=trainer.is_chat)
    return trainer


def load_processor(arguments: Arguments) -> Any:
    """The model's tokenizer, or its processor if it reads images: loaded as in `SFTTrainer`."""
    return AutoProcessor.from_pretrained(
        arguments.processing,
        revision=arguments.model.model_revision,
        trust_remote_code=arguments.training.trust_remote_code,
    )
