import logging

import pytest

from backaudit.cli.messages import logged_to_standard_error


def test_logged_errors_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with logged_to_standard_error(wanted=True):
        error = ValueError("\x1b[2J\n::error::all is well")
        logging.getLogger("backaudit.tests").debug("failed", exc_info=error)
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert not any(line.startswith("::") for line in shown.splitlines())
    assert "\\x1b[2J" in shown
