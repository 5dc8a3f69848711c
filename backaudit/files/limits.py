"""How much a file may ask for, in proportion to its real size."""

from dataclasses import dataclass

from backaudit.core.errors import CheckpointError
from backaudit.files.opened import GIB

SLACK = 64 * 2**20


@dataclass(frozen=True)
class Limits:
    """Bounds on what is read.

    Args:
        max_bytes: of one file, of all files of a folder together, and of what they unpack to.
        growth: how many times the file's size its contents may claim beyond a small allowance.
            Two-byte weights double as float32 and tied weights repeat; None takes only
            ``max_bytes``, where a person raised the limit on purpose.
        entries: of an archive, tensors of a file, files of a folder.
        header: bytes of a safetensors header, of a JSON file, of a program's source text.
    """

    max_bytes: int = 8 * GIB
    growth: int | None = 4
    entries: int = 20_000
    header: int = 16 * 2**20

    def unpacked(self, size: int) -> int:
        """Bytes that all a file holds may claim together.

        Args:
            size: of the file (of all files of a folder), in bytes.
        """
        if self.growth is None:
            return self.max_bytes
        return min(self.max_bytes, self.growth * size + SLACK)

    def check_unpacked(self, claimed: int, size: int) -> None:
        """Refuse what claims too much.

        Args:
            claimed: bytes that the contents ask for.
            size: of the file, in bytes.

        Raises:
            CheckpointError: if that is too much.
        """
        allowed = self.unpacked(size)
        if claimed > allowed:
            raise CheckpointError(
                f"claims {claimed / GIB:.3g} GiB of contents with {size / GIB:.3g} GiB of file, "
                f"over the limit of {allowed / GIB:.3g} GiB: raise --max-gib if you trust it"
            )


USUAL = Limits()
