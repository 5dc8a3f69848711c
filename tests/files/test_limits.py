import pytest

from backaudit.core.errors import CheckpointError
from backaudit.files.limits import SLACK, Limits

MIB = 2**20


def test_contents_may_claim_a_multiple_of_the_file() -> None:
    assert Limits().unpacked(100 * MIB) == 400 * MIB + SLACK
    assert Limits(max_bytes=300 * MIB).unpacked(100 * MIB) == 300 * MIB


def test_a_raised_limit_counts_alone() -> None:
    assert Limits(max_bytes=300 * MIB, growth=None).unpacked(1) == 300 * MIB


def test_a_claim_over_the_limit_is_refused_with_the_figures() -> None:
    limits = Limits()
    limits.check_unpacked(4 * MIB + SLACK, MIB)
    with pytest.raises(CheckpointError, match=r"claims 1 GiB .* 0\.000977 GiB .* 0\.0664 GiB"):
        limits.check_unpacked(2**30, MIB)
