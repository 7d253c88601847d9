# SPDX-License-Identifier: Apache-2.0
"""One stop request, however often it is sent."""

import os
import signal
import time

import pytest

from finetune_trainer.failures.errors import Interrupted
from finetune_trainer.failures.stopping import SIGNALS, StopRequest


def test_nothing_is_stopped_without_a_request() -> None:
    stop = StopRequest()

    stop.check()

    assert not stop.wait(0)
    assert stop.age_seconds == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_stop_request_and_a_second_one_changes_nothing(
    number: signal.Signals,
) -> None:
    before = {known: signal.getsignal(known) for known in SIGNALS}
    stop = StopRequest()
    try:
        stop.listen()
        os.kill(os.getpid(), number)
        time.sleep(0.05)
        os.kill(os.getpid(), number)
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)

    assert stop.wait(1)
    assert stop.age_seconds >= 0.05
    with pytest.raises(Interrupted):
        stop.check()


def test_work_that_may_be_nearly_done_receives_a_stop_later() -> None:
    stop = StopRequest()
    soon, late = stop.after(0), stop.after(3600)
    assert not soon.is_requested

    stop.request()

    assert soon.wait(3600)
    assert not late.wait(0)
    late.check()
    with pytest.raises(Interrupted):
        soon.check()
