"""Problems of a drive: one collector, so that strict reading and validation share their code."""

from __future__ import annotations

from dataclasses import dataclass, field

from recon.drive import DriveLog
from recon.errors import RoadscribeError


@dataclass(slots=True, kw_only=True)
class Problems:
    """Collects problems; when `strict`, the first one is raised."""

    strict: bool
    found: list[RoadscribeError] = field(default_factory=list)

    def add(self, error: RoadscribeError) -> None:
        """Record a problem, or raise it when strict."""
        if self.strict:
            raise error
        self.found.append(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedDrive:
    """A drive as its files describe it, before images and LiDAR are opened.

    After problems it holds the sound part only, so `places` keeps the source's name of each frame.
    """

    drive: DriveLog
    places: tuple[str, ...]  # one per frame, such as "frame 12"
    unplaced: frozenset[int] = frozenset()  # frames whose pose was refused: their files are still checked
    without_images: str = ""  # hint for users who need images: the other uses of this drive
