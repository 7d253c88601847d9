# SPDX-License-Identifier: Apache-2.0
"""Every error of a command is one message and one exit code."""

import pytest

from finetune_cli.terminal.exits import MEANINGS, NO_INPUT, Refused, exit_code_of
from finetune_contract.outcome import Category, ExitCode
from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(Refused("no"), 64, id="the command must be changed"),
        pytest.param(Refused("no", NO_INPUT), 66, id="nothing to read"),
        pytest.param(attempt_failed(Reason.INVALID_JOB, "no", "yes"), 64, id="a wrong job"),
        pytest.param(
            attempt_failed(Reason.STORE_UNREACHABLE, "no", "wait"), 75, id="a store that is down"
        ),
    ],
)
def test_an_error_is_a_message_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    def command() -> int:
        raise error

    assert exit_code_of(command) == code
    assert capsys.readouterr().err == "no\n"


def test_ctrl_c_reports_the_state_of_the_job(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command() -> int:
        raise KeyboardInterrupt

    assert exit_code_of(command, left="the job continues") == 130
    assert capsys.readouterr().err == "\nthe job continues\n"


def test_an_unexpected_exception_is_not_hidden() -> None:
    def command() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        exit_code_of(command)


def test_every_exit_code_of_the_trainer_has_a_meaning() -> None:
    assert set(ExitCode) <= set(MEANINGS)
    assert {ExitCode.of(category) for category in Category} <= set(MEANINGS)
