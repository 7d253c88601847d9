# SPDX-License-Identifier: Apache-2.0
"""Our own config keys for evaluation during training."""

from dataclasses import dataclass, field


@dataclass
class EvaluationArguments:
    """TRL's parser reads it next to its own."""

    metric_fn: str | None = field(
        default=None,
        metadata={
            "help": "A function of yours that judges generated answers at each evaluation, as "
            "module:function or file.py:function, looked for beside the data and in the image. By "
            "the names of its parameters it gets lists: prompts, outputs (the model's answers), "
            "references (those of the data) or samples (prompt and output in one). It returns a "
            "mapping of names to numbers, or to a number for each output, which are averaged; "
            "metric_for_best_model may name one."
        },
    )
    num_eval_samples: int = field(
        default=3,
        metadata={
            "help": "How many prompts of the test split are answered before, during (at each "
            "evaluation) and after training; 0 for none."
        },
    )
    eval_sample_max_tokens: int = field(
        default=40, metadata={"help": "The longest answer to such a prompt, in tokens."}
    )
    eval_sample_seconds: float = field(
        default=60.0,
        metadata={
            "help": "The most time that the answers of one evaluation may take, in seconds; what "
            "is missing then is left out."
        },
    )
    early_stopping_patience: int | None = field(
        default=None,
        metadata={
            "help": "End training when metric_for_best_model (eval_loss) has not improved for this "
            "many evaluations."
        },
    )
    early_stopping_threshold: float = field(
        default=0.0,
        metadata={"help": "How much better a value must be to count as an improvement."},
    )
