# SPDX-License-Identifier: Apache-2.0
"""The settings of kopf, and those that would otherwise end the process."""

import itertools

from finetune_operator.runtime.handlers import build_kopf_settings


def test_kopf_retries_the_api_server_indefinitely() -> None:
    """After an outage of any length, or a revoked permission, kopf tries again."""
    backoffs = build_kopf_settings().networking.error_backoffs

    assert not isinstance(backoffs, (int, float))
    first, again = (list(itertools.islice(backoffs, 1000)) for _ in range(2))
    assert len(first) == 1000
    assert first == again
    assert max(first) <= 10


def test_a_silent_watch_is_detected_and_an_idle_one_is_not() -> None:
    """The API server sends a bookmark about once a minute."""
    assert 60 < build_kopf_settings().watching.inactivity_timeout < 120
