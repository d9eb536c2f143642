import pytest

from recon.views.views import reach_of


@pytest.mark.parametrize(
    ("focal_px", "above_m", "most_m", "reach_m"),
    [
        (230.0, 1.65, 30.0, 20.0),  # a small image: a pixel 20 m ahead is over a metre long
        (700.0, 1.65, 40.0, 30.4),
        (1260.0, 1.5, 30.0, 30.0),  # carried to 38.9 m, but the setting says where it ends
        (1260.0, 1.5, 15.0, 15.0),
        (500.0, -0.2, 30.0, 20.0),  # a camera stated below the road carries nothing
    ],
)
def test_ground_counts_as_far_as_its_pixels_carry(
    focal_px: float, above_m: float, most_m: float, reach_m: float
) -> None:
    assert reach_of(focal_px, above_m, most_m) == pytest.approx(reach_m, abs=0.1)
