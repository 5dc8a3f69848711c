from backaudit.cli.patterns import matches


def test_any_of_the_patterns_is_enough_and_none_means_every_name() -> None:
    assert matches("cifar10-badnets-1", ["*wanet*", "*badnets*"])
    assert not matches("cifar10-Badnets-1", ["*wanet*", "*badnets*"])
    assert matches("anything", [])
