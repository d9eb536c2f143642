import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.geometry import (
    apply,
    invert,
    quaternion_from_rotation,
    rigid_fault,
    rotation_from_euler,
    rotation_from_quaternion,
    transform,
    yaw_of,
)

angle = st.floats(-3.1, 3.1)
metres = st.floats(-1e4, 1e4)


@given(angle, st.floats(-1.5, 1.5), angle, metres, metres, metres)
def test_inverse_cancels(yaw: float, pitch: float, roll: float, x: float, y: float, z: float) -> None:
    world_from_ego = transform(rotation_from_euler(yaw_rad=yaw, pitch_rad=pitch, roll_rad=roll), [x, y, z])
    assert np.allclose(invert(world_from_ego) @ world_from_ego, np.eye(4), atol=1e-8)
    assert rigid_fault(world_from_ego) == ""


@given(angle)
def test_yaw_is_counter_clockwise_from_east(yaw: float) -> None:
    world_from_ego = transform(rotation_from_euler(yaw_rad=yaw), [0, 0, 0])
    assert yaw_of(world_from_ego) == pytest.approx(yaw)
    assert np.allclose(apply(world_from_ego, np.array([1.0, 0, 0])), [np.cos(yaw), np.sin(yaw), 0])


def test_quaternions_come_w_first() -> None:
    quarter_turn = rotation_from_quaternion([np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
    assert np.allclose(quarter_turn @ [1, 0, 0], [0, 1, 0])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda m: m.__setitem__((0, 3), np.nan), "NaN"),
        (lambda m: m.__setitem__((0, 0), 1.1), "orthonormal"),
        (lambda m: m.__setitem__((2, 2), -1.0), "reflection"),
        (lambda m: m.__setitem__((3, 0), 1.0), "last row"),
    ],
)
def test_what_is_no_rigid_transform_is_named(change: object, fault: str) -> None:
    matrix = np.eye(4)
    change(matrix)  # type: ignore[operator]
    assert fault in rigid_fault(matrix)
    assert "shape" in rigid_fault(np.eye(3))


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_quaternions_and_rotations_are_inverse(angles: list[float]) -> None:
    yaw, pitch, roll = angles
    rotation = rotation_from_euler(yaw_rad=yaw, pitch_rad=pitch, roll_rad=roll)
    quaternion = quaternion_from_rotation(rotation)
    assert quaternion[0] >= 0
    assert np.allclose(rotation_from_quaternion(quaternion), rotation, atol=1e-12)
