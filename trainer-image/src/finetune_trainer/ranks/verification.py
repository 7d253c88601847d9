# SPDX-License-Identifier: Apache-2.0
"""Loads the saved artifact again, as its user will load it, and checks its answers.

It runs in rank 0's process, but uses only the files: the base model is loaded again and the trained
one is released. A separate process would cost another import of torch and prove nothing more. If
the base model does not fit into the free memory of this node, the artifact is verified by its
tensors.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoTokenizer, GenerationConfig
from trl import get_quantization_config
from trl.trainer.utils import create_model_from_path

from finetune_contract.progress import Progress, TrainerPhase
from finetune_trainer.exchange.heartbeats import Heart
from finetune_trainer.exchange.workspace import Workspace, write_atomically
from finetune_trainer.ranks import placed, soundness, tensor_verification
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.blueprint import bits_of, weights_of
from finetune_trainer.ranks.callbacks.heartbeat import beat_while_loading
from finetune_trainer.ranks.chat.ends import require_ending
from finetune_trainer.ranks.evaluation import samples
from finetune_trainer.ranks.evaluation.answer_book import AnswerDocument
from finetune_trainer.ranks.evaluation.judging import Judge
from finetune_trainer.ranks.model.loading import model_init_kwargs
from finetune_trainer.ranks.model.tokens import fit_embeddings
from finetune_trainer.ranks.movement import fates
from finetune_trainer.ranks.movement.account import Account
from finetune_trainer.ranks.placement import Place, Placement, Weights, fits_host, placements
from finetune_trainer.ranks.room import room_here

log = logging.getLogger(__name__)

ADAPTER_CONFIG = "adapter_config.json"
GREETING = samples.Prompt(content="Hello", expected="")
"""The prompt if the data has no held-out prompt."""
GREETING_TOKENS = 16

MOST_SECONDS = 600.0
"""The limit for the answers of one model, independent of `eval_sample_seconds`. The GPUs of other
nodes are idle meanwhile; a model in GPU memory answers in seconds, and an offloaded one, at about 5
seconds per token, still answers a greeting.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The result of a verification."""

    answers: AnswerDocument
    """The held-out prompts with the answers before and after training."""
    note: str = ""
    """The checks that were skipped, and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """The subject of the verification."""

    artifact: Path
    arguments: Arguments
    tokenizer: Any
    is_adapter: bool
    is_chat: bool

    @property
    def name(self) -> str:
        """The name of the model that is loaded."""
        return str(self.arguments.model.model_name_or_path if self.is_adapter else self.artifact)

    @property
    def options(self) -> dict[str, Any]:
        """How it is loaded."""
        options = model_init_kwargs(self.arguments)
        if not self.is_adapter:
            return options | {"revision": None}
        if (quantization := get_quantization_config(self.arguments.model)) is not None:
            options["quantization_config"] = quantization
        return options

    @property
    def weights(self) -> Weights | None:
        bits = bits_of(self.arguments) if self.is_adapter else None
        return weights_of(self.name, self.options, bits=bits)


def tell_phase(workspace: Workspace) -> None:
    """Training is over: from here on a stop waits only for results that no checkpoint contains."""
    progress = Progress.from_body(workspace.progress.read_bytes())
    verifying = replace(progress, phase=TrainerPhase.VERIFYING, eta_seconds=None)
    write_atomically(workspace.progress, verifying.to_body())


def verify(
    workspace: Workspace,
    arguments: Arguments,
    judge: Judge,
    answers_before: list[str | None],
    movement: Account,
    *,
    is_chat: bool,
) -> Verified:
    """Checks the artifact within the available memory.

    `movement` has the tensors that training has changed; `is_chat` is whether it was trained on
    conversations, whose turns it must be able to end.

    Raises:
        AttemptFailed: the artifact is unusable.
    """
    artifact = workspace.artifact
    is_adapter = (artifact / ADAPTER_CONFIG).is_file()
    heart = Heart(workspace.heartbeat(arguments.training.process_index))
    soundness.require_sound_tensors(artifact, is_adapter=is_adapter, moved=movement.published)
    if not is_adapter:
        _require_moved(artifact, arguments, movement)
    elif arguments.adapter is not None:
        soundness.require_changed_adapter(artifact, arguments.adapter)
    fates.require_all_moved(movement)
    subject = _Subject(
        artifact=artifact,
        arguments=arguments,
        tokenizer=AutoTokenizer.from_pretrained(artifact),
        is_adapter=is_adapter,
        is_chat=is_chat,
    )
    weights = subject.weights
    room = placed.find_room(workspace, arguments, weights)

    def attempt(placement: Placement) -> Verified:
        if placement.place is Place.TENSORS:
            return _by_tensors(subject, judge, answers_before, placed.shortage(weights, room))
        return _by_answers(subject, judge, answers_before, placement, heart)

    with beat_while_loading(heart):
        return placed.first_that_works(placements(weights, room), attempt)


def _by_tensors(
    subject: _Subject, judge: Judge, answers_before: list[str | None], reason: str
) -> Verified:
    generation = GenerationConfig.from_pretrained(subject.artifact)
    require_ending(subject.tokenizer, generation, is_chat=subject.is_chat)
    if subject.is_adapter:
        tensor_verification.require_fitting_adapter(
            subject.artifact, subject.name, subject.options, subject.tokenizer
        )
    else:
        tensor_verification.require_fitting_model(subject.artifact, subject.options)
    note = f"verified by its tensors: {reason}; no answers were generated"
    log.warning("%s", note)
    return Verified(
        answers=judge.book.document(judge.prompts, answers_before, []),
        note=note,
    )


def _by_answers(
    subject: _Subject,
    judge: Judge,
    answers_before: list[str | None],
    placement: Placement,
    heart: Heart,
) -> Verified:
    model = _load(subject, placement)
    require_ending(subject.tokenizer, model.generation_config, is_chat=subject.is_chat)
    budget = replace(
        judge.budget,
        seconds=min(judge.budget.seconds, MOST_SECONDS),
        beat=lambda: heart.beat("answering held-out prompts"),
    )
    if not judge.prompts:
        greeting = replace(budget, max_tokens=GREETING_TOKENS, seconds=MOST_SECONDS)
        samples.answers(model, subject.tokenizer, [GREETING], greeting)
        return Verified(answers=[])
    after = samples.answers(model, subject.tokenizer, judge.prompts, budget)
    if subject.is_adapter and subject.arguments.adapter is None:
        with model.disable_adapter():
            answers_before = samples.answers(model, subject.tokenizer, judge.prompts, budget)
    return Verified(
        answers=judge.book.document(judge.prompts, answers_before, after),
        note=_left_out(after, budget),
    )


def _left_out(answers: list[str | None], budget: samples.Budget) -> str:
    missing = answers.count(None)
    if not missing or budget.is_over():
        return ""
    note = (
        f"{missing} of {len(answers)} held-out prompts were not answered after training: "
        f"{budget.seconds:g} seconds were not enough"
    )
    log.warning("%s", note)
    return note


def _require_moved(artifact: Path, arguments: Arguments, movement: Account) -> None:
    base = str(arguments.model.model_name_or_path)
    options = model_init_kwargs(arguments) | {"device_map": None}

    def load() -> Mapping[str, Any]:
        weights = weights_of(base, options)
        if weights is not None and not fits_host(weights, room_here([])):
            log.warning("not compared with the base model: it does not fit into host memory")
            return {}
        return create_model_from_path(base, **options).state_dict()

    revision = arguments.model.model_revision
    soundness.require_moved(artifact, base, revision, load, movement.published)


def _load(subject: _Subject, placement: Placement) -> Any:
    """The tuned model, loaded as its user will load it.

    Raises:
        AttemptFailed: it does not load, or is incomplete.
        DoesNotFit: it does not fit at this placement.
    """
    try:
        return (_load_adapter if subject.is_adapter else _load_model)(subject, placement)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        if placed.is_out_of_memory(error):
            raise
        kind = "adapter" if subject.is_adapter else "model"
        first = str(error).strip().partition("\n")[0]
        raise soundness.broken(
            f"the saved {kind} does not load: {type(error).__name__}: {first}"
        ) from error


def _load_model(subject: _Subject, placement: Placement) -> Any:
    model, found = placed.load_placed(
        subject.name, subject.options, placement, output_loading_info=True
    )
    soundness.require_whole_model(found["missing_keys"])
    return _on_device(model, subject.arguments)


def _load_adapter(subject: _Subject, placement: Placement) -> Any:
    base = placed.load_placed(subject.name, subject.options, placement)
    # `added_tokens` and a cloned chat template add tokens that the base model lacks.
    placed.require_room_for_tokens(base, subject.tokenizer)
    fit_embeddings(base, subject.tokenizer)
    model: PeftModel = placed.attach_adapter(base, subject.artifact, placement)
    soundness.require_whole_adapter(subject.artifact, model)
    # Its base model may end answers with other tokens.
    base.generation_config = GenerationConfig.from_pretrained(subject.artifact)
    return _on_device(model, subject.arguments)


def _on_device(model: Any, arguments: Arguments) -> Any:
    is_placed = bool(getattr(model, "hf_device_map", None))
    return model if is_placed else model.to(arguments.training.device)
