# SPDX-License-Identifier: Apache-2.0
"""The figures of an evaluation in addition to TRL's own: answers, and a user's metrics of them.

One process answers and the others wait, unless the model is sharded over all of them. All get the
same values, because all use these to decide about the best checkpoint and early stopping.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist
from datasets import Dataset
from transformers.trainer_utils import EvalLoopOutput
from trl import SFTConfig, SFTTrainer

from finetune_contract.outcome import Failure
from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.callbacks.boundary import StepBoundary
from finetune_trainer.ranks.data.loading import Loaded
from finetune_trainer.ranks.evaluation import samples
from finetune_trainer.ranks.evaluation.answer_book import AnswerBook
from finetune_trainer.ranks.evaluation.metric_function import MetricFunction, find_metric_function
from finetune_trainer.ranks.evaluation.metric_values import OF_TRL, PREFIX
from finetune_trainer.ranks.evaluation.random_states import keep_random_states
from finetune_trainer.ranks.model import starting_adapter
from finetune_trainer.ranks.world import strategy_of

log = logging.getLogger(__name__)

_TOGETHER = ("FSDP2", "ZeRO-3")
"""Strategies under which no process has the complete model."""


class Judge:
    """Generates answers to the held-out prompts with the model in training, and judges them."""

    def __init__(
        self,
        prompts: Sequence[samples.Prompt],
        budget: samples.Budget,
        function: MetricFunction | None,
        require_time: Callable[[Any], None],
    ) -> None:
        self.prompts = list(prompts)
        self.budget = budget
        self.book = AnswerBook()
        self._function = function
        self._require_time = require_time
        self._of_base: tuple[list[str | None], dict[str, float]] | None = None

    def values(self, trainer: SFTTrainer) -> dict[str, float]:
        """The user's metrics of the current model, the same on every rank.

        Raises:
            AttemptFailed: the user's function failed.
            StoppedInEvaluation: a rank received a stop request meanwhile.
        """
        if not self.prompts or not can_answer(trainer.args):
            return {}
        step = trainer.state.global_step
        if step == 0 and self._of_base is not None:
            return self._of_base[1]
        is_answered = _is_ready(trainer) or _has_new_adapter(trainer)
        if step == 0 and self._function is None and is_answered:
            return {}  # The base model answers before training or after it, once.
        answers, values = self._judge_together(trainer, self._function)
        self._require_time(trainer.args)
        self.book.note(step, answers)
        return values

    def answers_of_base(self, trainer: SFTTrainer, *, resumes: bool) -> list[str | None]:
        """The base model's answers, if a user's metrics or full fine-tuning require them now.

        With an adapter they are available later, by disabling it. They also test a user's function:
        a broken one costs seconds now, and hours later. A resumed run has tested it before. FSDP
        and DeepSpeed prepare a model only when training begins: there it answers in the evaluation
        before the first step.

        Raises:
            AttemptFailed: the user's function failed.
        """
        function = None if resumes else self._function
        is_wanted = function is not None or not _has_new_adapter(trainer)
        if not self.prompts or not is_wanted or not _is_ready(trainer):
            return []
        self._of_base = self._judge_together(trainer, function)
        return self._of_base[0]

    def _judge_together(
        self, trainer: SFTTrainer, function: MetricFunction | None
    ) -> tuple[list[str | None], dict[str, float]]:
        told: list[Any] = [None]
        is_first = trainer.is_world_process_zero()
        is_spread = strategy_of(trainer.args) in _TOGETHER and dist.is_initialized()
        found = self._answers(trainer, is_spread=is_spread) if is_first or is_spread else []
        if is_first:
            try:
                told = [self._judge(found, function)]
            except AttemptFailed as error:
                told = [error.failure]
        if dist.is_initialized() and dist.get_world_size() > 1:
            dist.broadcast_object_list(told, src=0)
        if isinstance(told[0], Failure):
            raise AttemptFailed(told[0])
        answers, values = told[0]
        if values:
            require_known_metric(trainer.args.metric_for_best_model, values)
        return answers, values

    def _answers(self, trainer: SFTTrainer, *, is_spread: bool) -> list[str | None]:
        model, tokenizer = trainer.model, trainer.processing_class
        together_on = trainer.args.device if is_spread else None
        return samples.answers(model, tokenizer, self.prompts, self.budget, together_on=together_on)

    def _judge(
        self, found: list[str | None], function: MetricFunction | None
    ) -> tuple[list[str | None], dict[str, float]]:
        budget = self.budget
        missing = found.count(None)
        if missing and not budget.is_over():
            log.warning(
                "answers left out: %d of %d, eval_sample_seconds are over seconds=%g",
                missing,
                len(found),
                budget.seconds,
            )
        if function is None or budget.is_over():
            return found, {}
        pairs = [
            (prompt, answer)
            for prompt, answer in zip(self.prompts, found, strict=True)
            if answer is not None
        ]
        if not pairs:
            raise attempt_failed(
                Reason.NOTHING_TO_JUDGE,
                f"metric_fn received no answers: none were complete after {budget.seconds:g} "
                "seconds",
                "raise eval_sample_seconds, or lower eval_sample_max_tokens",
            )
        prompts, answers = zip(*pairs, strict=True)
        return found, function.values(prompts, answers)


class JudgingTrainer(SFTTrainer):
    """TRL's trainer with a user's metrics in its evaluations.

    They are added where an evaluation's own metrics are collected, so they are logged, passed to
    callbacks and trackers, and available for `metric_for_best_model`.
    """

    judge: Judge | None = None
    measures_base = False
    """Whether the evaluation before the first step was added to the user's config. Then it must not
    influence training; one that the user requests behaves exactly like TRL's own.
    """

    def evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        if self.measures_base and self.state.global_step == 0:
            with keep_random_states():
                return super().evaluate(*args, **options)
        return super().evaluate(*args, **options)

    def evaluation_loop(self, *args: Any, **options: Any) -> Any:
        if isinstance(self.eval_dataset, Dataset) and not len(self.eval_dataset):
            # All rows are questions: the model's answers are judged, and there is no loss.
            output = EvalLoopOutput(predictions=None, label_ids=None, metrics={}, num_samples=0)
        else:
            output = super().evaluation_loop(*args, **options)
        if self.judge is not None and options.get("metric_key_prefix", "eval") == "eval":
            output.metrics.update(self.judge.values(self))
        return output


def build_judge(arguments: Arguments, data: Loaded, stop: StepBoundary, stop_file: Path) -> Judge:
    """The judge for this config.

    Raises:
        AttemptFailed: the config's `metric_fn` does not exist, or there is nothing to judge.
    """
    ours, script = arguments.evaluation, arguments.script
    dataset, test = data.dataset, script.dataset_test_split
    prompts = samples.held_out(dataset, test, ours.num_eval_samples)
    prompts += [samples.Prompt(content=question) for question in data.questions]
    prompts = prompts[: ours.num_eval_samples]
    if test in dataset and isinstance(dataset[test], Dataset) and not len(dataset[test]):
        _require_metric_without_loss(arguments)
    training = arguments.training
    if prompts and not can_answer(training) and training.process_index == 0:
        log.warning("held-out prompts are not answered during training: FSDP 1 does not support it")
    function = None
    if ours.metric_fn is not None and arguments.training.eval_strategy != "no":
        function = find_metric_function(ours.metric_fn, data_folders(arguments))
        _require_prompts(prompts, function, arguments)
    budget = samples.Budget(
        max_tokens=ours.eval_sample_max_tokens,
        seconds=ours.eval_sample_seconds,
        batch_size=arguments.training.per_device_eval_batch_size,
        is_over=stop_file.exists,
    )
    return Judge(prompts, budget, function, stop.require_time)


def data_folders(arguments: Arguments) -> list[Path]:
    """The directories of the data, if it is in directories."""
    names = [part.path for part in arguments.mixture.datasets or ()]
    names = names or [str(arguments.script.dataset_name)]
    return [Path(name) for name in names if Path(name).is_absolute() and Path(name).is_dir()]


def can_answer(training: SFTConfig) -> bool:
    """FSDP 1 gathers a model's parts only within a step's own call of it."""
    return strategy_of(training) != "FSDP1"


def _is_ready(trainer: SFTTrainer) -> bool:
    """Whether the model could answer before training begins, on the device that it trains on."""
    return not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)


def _has_new_adapter(trainer: SFTTrainer) -> bool:
    """Whether the model without its adapter is the one before the training."""
    model = trainer.model
    return hasattr(model, "peft_config") and not starting_adapter.is_on(model)


def require_known_metric(wanted: str | None, values: Mapping[str, float]) -> None:
    """
    Raises:
        AttemptFailed: `metric_for_best_model` names no metric of an evaluation.
    """
    if wanted is None:
        return
    known = {*values, *(PREFIX + name for name in OF_TRL)}
    if PREFIX + wanted.removeprefix(PREFIX) not in known:
        raise attempt_failed(
            Reason.METRIC_NOT_FOUND,
            f"metric_for_best_model is {wanted}, but metric_fn returns {', '.join(values)}",
            "set metric_for_best_model to one of them, or to eval_loss",
        )


def _require_metric_without_loss(arguments: Arguments) -> None:
    """
    Raises:
        AttemptFailed: the best checkpoint is chosen by a metric that needs answers.
    """
    wanted = arguments.training.metric_for_best_model
    if wanted is None and arguments.evaluation.early_stopping_patience is not None:
        wanted = "loss"
    if wanted is not None and wanted.removeprefix(PREFIX) in OF_TRL:
        raise attempt_failed(
            Reason.METRIC_NOT_FOUND,
            f"the best model is chosen by {PREFIX}{wanted.removeprefix(PREFIX)}, and the rows of "
            f"{arguments.script.dataset_test_split} have no answers, which it requires",
            "set metric_for_best_model to a name that metric_fn returns, or add the answers",
        )


def _require_prompts(
    prompts: Sequence[samples.Prompt], function: MetricFunction, arguments: Arguments
) -> None:
    training = arguments.training
    if not can_answer(training):
        raise attempt_failed(
            Reason.NOTHING_TO_JUDGE,
            f"metric_fn is {function.name}, but a model under FSDP 1 cannot generate answers "
            "during training",
            "write accelerate_config: fsdp2, or leave metric_fn out",
        )
    rows = f"the first {arguments.evaluation.num_eval_samples} rows of "
    rows += str(arguments.script.dataset_test_split)
    if not prompts:
        raise attempt_failed(
            Reason.NOTHING_TO_JUDGE,
            f"metric_fn is {function.name}, but {rows} contain no prompt",
            "give rows with a prompt, or with messages, and set num_eval_samples",
        )
    if function.binding.needs_references and all(prompt.expected is None for prompt in prompts):
        raise attempt_failed(
            Reason.NOTHING_TO_JUDGE,
            f"metric_fn is {function.name}, which requires the answers of the data, but {rows} "
            "have none",
            "add the answers, or leave that parameter out of the function",
        )
