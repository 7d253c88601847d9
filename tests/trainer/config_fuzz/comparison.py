# SPDX-License-Identifier: Apache-2.0
"""Compares the check's result for a fuzzed config with the trainer's behaviour. Pure.

The check may refuse a config that TRL's parser accepts only for a reason in the tables here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from unittest import mock

import finetune_spec.config as contract
from finetune_spec.config import Context, Problem
from support.config_verdicts import problems_of
from trainer.config_fuzz.draws import RIGHT, Fuzzed, Kind


class Then(StrEnum):
    """The trainer's behaviour after the parser, if the check refuses a config that the parser
    accepted.
    """

    STOPS = "the training stops later, when its GPUs are there"
    SILENT = "it trains, and otherwise than it was told"
    OURS = "it is the operator's to set, or not for a job that others can read"


UNSEEN_BY_TRL: Mapping[Kind, str] = {
    Kind.NUMBER_IN_QUOTES: "argparse converts text; the API server's schema refuses it",
    Kind.TEXT_FOR_BOOL: "the same",
    Kind.FRACTION: "argparse looks at text only: a number passes as it is",
    Kind.NUMBER_FOR_TEXT: "the same",
    Kind.NUMBER_FOR_BOOL: "the same",
    Kind.BOOL_FOR_OTHER: "the same",
    Kind.LIST: "the same",
    Kind.MAPPING: "the same",
    Kind.NULL: "the same",
    Kind.YAML_TRAP: "the same, whatever it became",
    Kind.OUTSIDE: "TRL compares next to no number with a range",
    Kind.NO_CHOICE: "argparse checks choices on the command line, never those of a file",
}
"""Kinds of wrong values that TRL's parser does not check, and why."""

BEYOND_THE_PARSER: Mapping[str, Then] = {
    "check_owned_keys": Then.OURS,
    "check_adapter_is_on": Then.SILENT,
    # Without use_peft targets are ignored; with it the training stops.
    "check_targets": Then.SILENT,
    "check_output_layer": Then.STOPS,
    "check_target_parameters": Then.STOPS,
    "check_quantization": Then.STOPS,
    "check_quantized_dora": Then.STOPS,
    "check_selective_recomputation": Then.STOPS,
    "check_packing": Then.STOPS,
    "check_padding_free": Then.STOPS,
    "check_streaming": Then.STOPS,
    # TRL splits only a mixture; we split any dataset.
    "check_split_of_stream": Then.SILENT,
    "check_said_twice": Then.OURS,
    "check_splits_of_mixture": Then.STOPS,
    "check_stream_of_mixture": Then.STOPS,
    "check_workers": Then.STOPS,
    "check_saving_the_best": Then.STOPS,
    "check_evaluation_is_on": Then.STOPS,
    "check_without_gpu": Then.STOPS,
    "check_fp16_on_cpus": Then.STOPS,
    "check_use_of_gpus": Then.SILENT,
    "check_one_of_two": Then.STOPS,
    "check_same_values": Then.STOPS,
    "check_automatic_batch": Then.STOPS,
    "check_quantized_shards": Then.SILENT,
    "check_scaled_weights": Then.STOPS,
    "check_backend": Then.STOPS,
    "check_code_of_base": Then.OURS,
    "check_continued_adapter": Then.OURS,
}
"""Checks that refuse values which are valid one by one, and the trainer's behaviour with them."""


OURS = frozenset(
    {
        "accelerate_config",
        "adapter_as_model",
        "adapter_base_model",
        "added_tokens",
        "completion_template",
        "dataset_columns",
        "dataset_format",
        "early_stopping_patience",
        "early_stopping_threshold",
        "eval_sample_max_tokens",
        "eval_sample_seconds",
        "max_rows_left_out",
        "merge_adapter",
        "merge_system_message",
        "metric_fn",
        "num_eval_samples",
        "num_layers_unfrozen",
        "prompt_template",
        "save_minutes",
        "system_message",
    }
)
"""Keys that TRL's parser accepts without a check, because TRL does not use them: separate tests
cover their refusals, with the failing training.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One problem, and the check that found it."""

    check: str
    problem: Problem


def check(fuzzed: Fuzzed) -> tuple[Finding, ...]:
    """The check's problems with this config, in the trainer's own context."""
    context = Context(nodes=1, processes_per_node=1, gpus_per_node=fuzzed.gpus)
    names: dict[int, str] = {}
    tables = ("KEY_CHECKS", "VALUE_TABLE", "RULE_TABLE")
    with (
        mock.patch.object(contract, tables[0], _named(contract.KEY_CHECKS, names)),
        mock.patch.object(contract, tables[1], _named(contract.VALUE_TABLE, names)),
        mock.patch.object(contract, tables[2], _named(contract.RULE_TABLE, names)),
    ):
        problems = problems_of(fuzzed.config, context)
    return tuple(
        Finding(check=names[id(problem)], problem=problem)
        for problem in problems
        if not problem.is_warning
    )


def false_alarms(fuzzed: Fuzzed, findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """Findings without an explanation in the tables, for a config that the trainer accepts."""
    for finding in findings:
        if finding.problem.path.partition(".")[0] in OURS:
            continue
        kind = fuzzed.kinds.get(finding.problem.key, Kind.TYPICAL)
        if finding.check not in BEYOND_THE_PARSER and kind not in UNSEEN_BY_TRL:
            yield finding


def stops_later(fuzzed: Fuzzed, findings: tuple[Finding, ...]) -> bool:
    """Whether every value is valid by itself, and a finding predicts that the training will
    stop.
    """
    return fuzzed.is_right_by_parts and any(
        BEYOND_THE_PARSER.get(finding.check) is Then.STOPS for finding in findings
    )


def wrong_parts(fuzzed: Fuzzed) -> dict[str, Any]:
    """The draws to examine first after a disagreement."""
    return {draw.key: draw.value for draw in fuzzed.draws if draw.kind not in RIGHT}


_Check = Callable[..., Iterator[Problem]]


def _named(table: tuple[_Check, ...], names: dict[int, str]) -> tuple[_Check, ...]:
    """The same checks, which record the name of the check for each problem."""

    def noting(check: _Check) -> _Check:
        def noted(*arguments: Any) -> Iterator[Problem]:
            for problem in check(*arguments):
                names[id(problem)] = check.__name__
                yield problem

        return noted

    return tuple(noting(check) for check in table)
