"""What a fit keeps in its scratch folder: the surfaces of finished tiles, and the state of the one in work."""

from __future__ import annotations

from pathlib import Path

from recon import artifact
from recon.errors import ArtifactInvalid
from recon.fit.resume.checkpoint import Checkpoint
from recon.surface.road_surface import RoadSurface


class KeptTiles:
    """The tiles of one fit by number. Without a folder nothing is kept."""

    def __init__(self, scratch: Path | None) -> None:
        self._folder = scratch / "tiles" if scratch else None

    def checkpoint(self, number: int) -> Checkpoint:
        """Return the state of the steps of a tile."""
        return Checkpoint(self._folder / f"{number:04d}.npz" if self._folder else None)

    def finished(self, number: int) -> RoadSurface | None:
        """Return the surface of a tile that was finished before, or None."""
        if self._folder is None:
            return None
        try:
            return artifact.read(RoadSurface, self._folder / f"{number:04d}")
        except ArtifactInvalid:
            return None

    def keep(self, number: int, surface: RoadSurface) -> None:
        """Keep the surface of a finished tile instead of its state."""
        if self._folder is not None:
            artifact.write(surface, self._folder / f"{number:04d}")
            self.checkpoint(number).forget()
