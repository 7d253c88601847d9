# SPDX-License-Identifier: Apache-2.0
"""Our own config keys for evaluation during training."""

from dataclasses import dataclass, field


@dataclass
class EvaluationArguments:
    """TRL's parser reads it next to its own."""

    metric_fn: str | None = field(
        default=None,
        metadata={
            "help": "Your own function that evaluates generated answers at each evaluation, as "
            "module:function or file.py:function. It is searched next to the data and in the "
            "image. Its parameters are lists, selected by name: prompts, outputs (the "
            "model's answers), references (those of the data) or samples (prompt and output "
            "in one). It returns a mapping of names to numbers, or to a number for each "
            "output, which are averaged; metric_for_best_model may name one."
        },
    )
    num_eval_samples: int = field(
        default=3,
        metadata={
            "help": "Number of prompts of the test split to answer before, during (at each "
            "evaluation) and after training; 0 for none."
        },
    )
    eval_sample_max_tokens: int = field(
        default=40, metadata={"help": "Maximum length of these answers, in tokens."}
    )
    eval_sample_seconds: float = field(
        default=60.0,
        metadata={
            "help": "Time limit for the answers of one evaluation, in seconds. Answers that are "
            "not complete by then are left out."
        },
    )
    early_stopping_patience: int | None = field(
        default=None,
        metadata={
            "help": "Stop training when metric_for_best_model (eval_loss) has not improved for "
            "this number of evaluations."
        },
    )
    early_stopping_threshold: float = field(
        default=0.0,
        metadata={"help": "Minimum change of the metric that counts as an improvement."},
    )
