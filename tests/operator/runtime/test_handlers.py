# SPDX-License-Identifier: Apache-2.0
"""The settings of kopf, and those that would otherwise end the process."""

import itertools

from finetune_operator.runtime.handlers import build_kopf_settings


def test_kopf_never_gives_up_on_the_api_server() -> None:
    """After an outage of any length, or a revoked permission, kopf tries again."""
    backoffs = build_kopf_settings().networking.error_backoffs

    assert not isinstance(backoffs, (int, float))
    first, again = (list(itertools.islice(backoffs, 1000)) for _ in range(2))
    assert len(first) == 1000
    assert first == again
    assert max(first) <= 10


def test_watch_that_fell_silent_is_noticed_but_not_one_that_has_nothing_to_say() -> None:
    """The API server sends a bookmark about once a minute."""
    assert 60 < build_kopf_settings().watching.inactivity_timeout < 120
