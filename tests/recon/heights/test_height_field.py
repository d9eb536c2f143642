import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slope_world import SLOPE, write_drive

from recon.drive import DriveLog, Frame
from recon.geometry import apply, rotation_from_euler, transform
from recon.heights.height_field import height_field, local_lift


def drive_over(z: np.ndarray, x: np.ndarray, *, roll_rad: float = 0.0) -> DriveLog:
    poses = [
        transform(rotation_from_euler(yaw_rad=0, roll_rad=roll_rad), [a, 0.0, b]) for a, b in zip(x, z, strict=True)
    ]
    frames = tuple(Frame(time_ns=i, world_from_ego=pose, images=()) for i, pose in enumerate(poses))
    return DriveLog(name="x", root=None, cameras=(), frames=frames, ground_z_ego_m=0.0)  # type: ignore[arg-type]


def test_the_path_alone_gives_its_own_profile() -> None:
    x = np.arange(0.0, 100.0, 1.0)
    z = 2.0 * np.sin(x / 30.0)
    field = height_field([drive_over(z, x)], np.zeros((0, 3)), corridor_m=10.0)
    on_path, slope = field.at(np.c_[x[10:-10], np.zeros(80)])
    assert np.abs(on_path - z[10:-10]).max() < 0.1
    assert np.abs(slope[:, 0] - np.cos(x[10:-10] / 30.0) / 15.0).max() < 0.03
    beside, _ = field.at(np.c_[x[10:-10], np.full(80, 8.0)])
    assert np.abs(beside - z[10:-10]).max() < 0.25


def test_lidar_rules_where_it_measured_and_outliers_do_not() -> None:
    generator = np.random.default_rng(0)
    x = np.arange(0.0, 60.0, 0.5)
    crown = lambda y: -0.02 * np.abs(y)  # noqa: E731
    xy = generator.uniform([0, -9], [60, 9], (20000, 2))
    z = crown(xy[:, 1]) + generator.normal(0, 0.02, 20000)
    cars = generator.random(20000) < 0.15
    z[cars] += generator.uniform(0.2, 0.5, cars.sum())  # what a bumper or a hedge returns
    field = height_field([drive_over(np.zeros_like(x), x)], np.c_[xy, z], corridor_m=8.0)
    probe = generator.uniform([5, -7], [55, 7], (500, 2))
    error = field.at(probe)[0] - crown(probe[:, 1])
    assert np.median(np.abs(error)) < 0.02
    assert np.abs(error).max() < 0.08


def test_a_field_knows_where_nothing_measured_it() -> None:
    x = np.arange(0.0, 60.0, 0.5)
    drive = drive_over(np.zeros_like(x), x)
    beside = np.c_[np.full(5, 30.0), [0.0, 3.0, 6.0, 9.0, 12.0]]
    alone = height_field([drive], np.zeros((0, 3)), corridor_m=14.0).std_at(beside)
    assert alone[0] < 0.03
    assert (np.diff(alone) > 0.005).all()
    assert 0.03 < alone[3] < 0.3  # a crown, a ditch: what a path cannot tell at 9 m
    measured = np.random.default_rng(1).uniform([0, 4], [60, 12], (6000, 2))
    with_lidar = height_field([drive], np.c_[measured, np.zeros(6000)], corridor_m=14.0)
    assert (with_lidar.std_at(beside[2:]) < 0.03).all()
    other_side = beside * [1.0, -1.0]
    assert (with_lidar.std_at(other_side[3:]) > 0.5 * alone[3:]).all()


def test_a_high_frame_rate_does_not_outweigh_the_lidar() -> None:
    x = np.r_[np.arange(0.0, 40.0, 0.05)]
    xy = np.random.default_rng(1).uniform([0, -5], [40, 5], (8000, 2))
    raised = np.c_[xy, np.full(8000, 0.1)]
    field = height_field([drive_over(np.zeros_like(x), x)], raised, corridor_m=5.0)
    assert np.median(field.at(np.c_[np.linspace(5, 35, 30), np.full(30, 3.0)])[0]) > 0.085


def test_the_slope_world(tmp_path: object) -> None:
    drive, _ = write_drive(tmp_path / "w", frames=8, lidar=False)  # type: ignore[operator]
    field = height_field([drive], np.zeros((0, 3)), corridor_m=6.0)
    x = np.linspace(2, 13, 20)
    assert np.abs(field.at(np.c_[x, np.zeros(20)])[0] - SLOPE * x).max() < 0.01


def test_a_kerb_stays_a_step_where_the_field_is_a_slope() -> None:
    generator = np.random.default_rng(2)
    xy = generator.uniform([0, -1], [10, 1], (12000, 2))
    above = np.where(xy[:, 1] > 0, 0.06, -0.06) * np.exp(-np.abs(xy[:, 1])) + generator.normal(0, 0.01, len(xy))
    measured = np.where(generator.random(len(xy)) < 0.3, above, np.nan)
    error = local_lift(xy, measured) - above
    assert np.abs(error[np.abs(xy[:, 1]) > 0.05]).mean() < 0.02
    assert not local_lift(xy + [0.0, 50.0], np.full(len(xy), np.nan)).any()
    assert local_lift(np.zeros((0, 2)), np.zeros(0)).shape == (0,)


def winding_poses() -> list[np.ndarray]:
    """Poses over a bend of 40 m radius that climbs, rolls over crests and is banked."""
    return [
        transform(
            rotation_from_euler(yaw_rad=s / 40, pitch_rad=-np.arctan(0.05 + 0.1 * np.cos(s / 10)), roll_rad=-0.04),
            [40 * np.sin(s / 40), 40 * (1 - np.cos(s / 40)), 0.05 * s + np.sin(s / 10)],
        )
        for s in np.arange(60.0)
    ]


@pytest.mark.slow
@given(
    shift=st.tuples(st.floats(-10_000, 10_000), st.floats(-10_000, 10_000), st.floats(-500, 5000)),
    turn=st.floats(-np.pi, np.pi),
)
@settings(max_examples=12, deadline=None)
def test_heights_are_the_same_under_any_rigid_motion_of_the_world(
    shift: tuple[float, float, float], turn: float
) -> None:
    poses = winding_poses()
    beside = np.linspace(-10.0, 10.0, 9)
    probes = np.concatenate([p[:3, 3] + d * p[:3, 1] for p in poses[5:-5:5] for d in beside]).reshape(-1, 3)

    def heights(world: np.ndarray) -> np.ndarray:
        frames = tuple(Frame(time_ns=i, world_from_ego=world @ pose, images=()) for i, pose in enumerate(poses))
        drive = DriveLog(name="x", root=None, cameras=(), frames=frames)  # type: ignore[arg-type]
        field = height_field([drive], np.zeros((0, 3)), corridor_m=12.0)
        return field.at(apply(world, probes)[:, :2])[0] - world[2, 3]

    raised = transform(np.eye(3), [0.0, 0.0, shift[2]])
    moved = transform(rotation_from_euler(yaw_rad=turn), shift)
    here = heights(np.eye(4))
    np.testing.assert_allclose(heights(raised), here, atol=1e-5)
    # The cells of 1 m lie otherwise under the road: far beside the path the field is extrapolated over 10 of them.
    tolerance = np.tile(0.01 + 0.005 * np.abs(beside), len(here) // len(beside))
    assert np.all(np.abs(heights(moved) - here) < tolerance)
