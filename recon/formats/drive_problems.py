"""Problems of a drive: one collector, so that strict reading and validation share their code."""

from __future__ import annotations

from dataclasses import dataclass, field

from recon.drive import DriveLog
from recon.errors import DriveInvalid, RoadscribeError

MOST_LISTED = 1000
MOST_COUNTED = 10_000  # a fault of a document costs 0.3 ms to find: a file can hold a million of them


@dataclass(slots=True, kw_only=True)
class Problems:
    """Collects problems; when `strict`, the first one is raised."""

    strict: bool
    found: list[RoadscribeError] = field(default_factory=list)  # the first MOST_LISTED
    count: int = 0

    @property
    def enough(self) -> bool:
        """Return whether to stop looking for more."""
        return self.count >= MOST_COUNTED

    def add(self, error: RoadscribeError) -> None:
        """Record a problem, or raise it when strict."""
        if self.strict:
            raise error
        self.count += 1
        if len(self.found) < MOST_LISTED:
            self.found.append(error)

    def listed(self) -> list[RoadscribeError]:
        """Return the problems; of very many the first ones, and last how many more there are."""
        if self.count == len(self.found):
            return self.found
        least = "at least " if self.enough else ""
        rest = f"{least}{self.count - len(self.found)} more problems are not listed"
        return [*self.found, DriveInvalid(rest, hint="Mend these first, and validate again.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedDrive:
    """A drive as its files describe it, before images and LiDAR are opened.

    After problems it holds the sound part only, so `places` keeps the source's name of each frame.
    """

    drive: DriveLog
    places: tuple[str, ...]  # one per frame, such as "frame 12"
    unplaced: frozenset[int] = frozenset()  # frames whose pose was refused: their files are still checked
    without_images: str = ""  # hint for users who need images: the other uses of this drive
