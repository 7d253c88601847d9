# SPDX-License-Identifier: Apache-2.0
"""The audit of the tests' own API proxy: which writes it must report, and which it must not."""

from cluster.faulty_api import Write, find_strangers


def a_write(replica: str, sent: float, holder: str | None = None, status: int = 200) -> Write:
    return Write(
        replica=replica,
        method="PUT",
        resource="jobs" if holder is None else "leases",
        namespace="team",
        name="it",
        status=status,
        sent=sent,
        answered=sent + 1,
        lease_holder=holder,
    )


TAKEN = a_write("one", 0, "one_1234")


def test_a_write_by_the_lease_holder_is_accepted() -> None:
    assert find_strangers([TAKEN, a_write("one", 2)]) == []


def test_a_write_before_the_lease_is_acquired_is_reported() -> None:
    early = a_write("one", 0.5)

    assert find_strangers([TAKEN, early]) == [early]


def test_a_write_by_a_former_holder_is_reported() -> None:
    late = a_write("one", 5)

    assert find_strangers([TAKEN, a_write("two", 3, "two_5678"), late]) == [late]
    assert find_strangers([TAKEN, a_write("one", 3, ""), late]) == [late]


def test_a_refused_lease_update_does_not_change_the_holder() -> None:
    assert (
        find_strangers([TAKEN, a_write("two", 3, "two_5678", status=409), a_write("one", 5)]) == []
    )


def test_a_late_write_is_reported_unless_its_object_had_changed() -> None:
    late = [a_write("one", 5, status=status) for status in (201, 403, 404, 409)]

    assert find_strangers([TAKEN, a_write("two", 3, "two_5678"), *late]) == late[:2]
