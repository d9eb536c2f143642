"""Settings of the matching. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from recon.config import require


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchConfig:
    """What a match costs, and how predictions are cut at the mask's edge. Lengths are in cells of the mask."""

    class_cost: float = 2.0  # times the focal cost (MapTRv2)
    points_cost: float = 5.0  # times the L1 distance summed over points, in unit coordinates (MapTRv2)
    touch_cells: int = 2  # a label this close to an unknown cell may go on there
    least_piece_cells: float = 10.0  # shorter pieces of a cut chain say nothing of its shape
    speck_cells: int = 4  # unknown ground as thin as this does not cut: a line goes on behind a speck
    most_pieces: int = 4  # of a prediction; one cut into more is matched as a whole only
    most_steps: int = 60  # of the search for the best subsets; then the best assignment found so far stands

    def __post_init__(self) -> None:
        costs = (self.class_cost, self.points_cost)
        require(min(costs) >= 0.0 and max(costs) > 0.0, "loss.match: costs must not be negative, and one positive")
        require(1 <= self.touch_cells <= 100, "loss.match.touch_cells must lie in 1..100")
        require(0 <= self.speck_cells <= 100, "loss.match.speck_cells must lie in 0..100")
        require(self.least_piece_cells > 0.0, "loss.match.least_piece_cells must be positive")
        require(1 <= self.most_pieces <= 8, "loss.match.most_pieces must lie in 1..8")
        require(0 <= self.most_steps <= 100_000, "loss.match.most_steps must lie in 0..100000")
