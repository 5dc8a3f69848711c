"""The progress bar: on a terminal only, and only for what takes long."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from backaudit.core.progress import observed_by

PATIENCE = 2.0


class TimeLeft(TimeRemainingColumn):
    """The time left, where it can be known."""

    def render(self, task: Task) -> Text:
        """Say the time left in words."""
        return Text() if task.total is None else super().render(task).append(" left")


class PatientProgress(Progress):
    """Shows a task only once it has taken ``PATIENCE`` seconds."""

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """Lay out the tasks that are worth showing."""
        return super().make_tasks_table([task for task in tasks if (task.elapsed or 0) > PATIENCE])


@contextmanager
def progress_shown(console: Console, what: str, *, quiet: bool) -> Iterator[None]:
    """Show ``what`` is being done, and how far each tracked step inside the block is."""
    if quiet or not console.is_terminal:
        yield
        return
    columns = (
        SpinnerColumn("line"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TimeElapsedColumn(),
        TimeLeft(),
    )
    bar = PatientProgress(
        *columns,
        console=console,
        transient=True,
        refresh_per_second=4,
        # Standard output may carry results meanwhile, which have no business on standard error.
        redirect_stdout=False,
    )
    with bar:
        bar.add_task(what, total=None)
        with observed_by(_Steps(bar)):
            yield


class _Steps:
    """Tells a progress bar what ``track`` reports; a finished step leaves it."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self.tasks:
            self.tasks[what] = self.bar.add_task(what, total=total)
        self.bar.update(self.tasks[what], completed=done)
        if done >= total:
            self.bar.remove_task(self.tasks.pop(what))
