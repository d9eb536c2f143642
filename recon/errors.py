"""The one family of errors that Roadscribe raises for its callers.

RoadscribeError
├── InputInvalid              the caller's data or settings are wrong: a retry cannot help
│   ├── ConfigInvalid
│   ├── DriveInvalid
│   │   ├── DriveEmpty
│   │   ├── CalibrationMissing
│   │   ├── PoseInvalid
│   │   └── ImageInvalid
│   ├── ModelInvalid
│   ├── ArtifactInvalid
│   │   ├── ArtifactForeign
│   │   └── ArtifactTooNew
│   ├── PathRefused
│   └── InputLost             a job that this one depends on has no result
├── NoRoadFound               the data are valid, but no road is visible in them
├── TripsApart
├── Cancelled
└── InfrastructureError       the machine failed: a retry may help
    ├── DiskFull
    ├── StorageError
    │   └── ArtifactDamaged
    ├── OutOfMemory
    ├── MemoryShort
    ├── WorkerLost
    ├── MachineLost           not the job's fault: no attempt is spent on it
    └── StageTimeout
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar


class RoadscribeError(Exception):
    """An internal error of Roadscribe."""

    code: ClassVar[str] = "BUG"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", *, where: str = "", hint: str = "") -> None:
        """Set the message (default: the class docstring), the place (file, frame), and a hint what to do."""
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.where = where
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        place = f" [{self.where}]" if self.where else ""
        way_out = f" {self.hint}" if self.hint else ""
        return f"{self.message}{place}{way_out}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword arguments would be lost by the default pickling when an error crosses a process border.
        return (_rebuild, (type(self), self.message, self.where, self.hint))

    def record(self) -> dict[str, Any]:
        """Return the failure as the JSON object stored in the ledger and shown to users."""
        return {
            "code": self.code,
            "message": self.message,
            "where": self.where,
            "hint": self.hint,
            "retryable": self.retryable,
        }


def _rebuild(kind: type[RoadscribeError], message: str, where: str, hint: str) -> RoadscribeError:
    return kind(message, where=where, hint=hint)


class InputInvalid(RoadscribeError):
    """The input is invalid."""

    code = "INPUT_INVALID"


class ConfigInvalid(InputInvalid):
    """A setting is out of its range or unknown."""

    code = "CONFIG_INVALID"


class DriveInvalid(InputInvalid):
    """The drive cannot be read."""

    code = "DRIVE_INVALID"


class DriveEmpty(DriveInvalid):
    """The drive holds no frame with an image."""

    code = "DRIVE_EMPTY"


class CalibrationMissing(DriveInvalid):
    """An image belongs to a camera that has no calibration."""

    code = "CALIBRATION_MISSING"


class PoseInvalid(DriveInvalid):
    """A pose is not a rigid transform, or times do not increase."""

    code = "POSE_INVALID"


class ImageInvalid(DriveInvalid):
    """An image is missing, does not decode, or has another size than its camera."""

    code = "IMAGES_CORRUPT"


class ModelInvalid(InputInvalid):
    """A segmentation model or its class map cannot be used."""

    code = "MODEL_INVALID"


class ArtifactInvalid(InputInvalid):
    """An artifact on disk is damaged or incomplete."""

    code = "ARTIFACT_INVALID"


class ArtifactForeign(ArtifactInvalid):
    """The folder holds no artifact of the expected kind."""

    code = "ARTIFACT_FOREIGN"


class ArtifactTooNew(ArtifactInvalid):
    """The artifact was written by a newer Roadscribe."""

    code = "ARTIFACT_TOO_NEW"


class PathRefused(InputInvalid):
    """The path lies outside the allowed roots."""

    code = "PATH_REFUSED"


class InputLost(InputInvalid):
    """A job that this one depends on has no result."""

    code = "INPUT_LOST"


class NoRoadFound(RoadscribeError):
    """No road was seen in this drive."""

    code = "NO_ROAD_FOUND"


class TripsApart(RoadscribeError):
    """The trips do not show the same place."""

    code = "TRIPS_APART"


class Cancelled(RoadscribeError):
    """The work was cancelled."""

    code = "CANCELLED"


class InfrastructureError(RoadscribeError):
    """The machine failed while doing the work."""

    code = "INFRASTRUCTURE"
    retryable = True


class DiskFull(InfrastructureError):
    """No space is left on the disk; nothing was published."""

    code = "DISK_FULL"
    retryable = False  # the disk is still full a second later; the job stays resumable


class StorageError(InfrastructureError):
    """The storage could not be read or written."""

    code = "STORAGE_ERROR"


class ArtifactDamaged(StorageError):
    """The store lost a result, or its bytes changed."""

    code = "ARTIFACT_DAMAGED"


class OutOfMemory(InfrastructureError):
    """The worker ran out of memory."""

    code = "OOM_HOST"


class MemoryShort(InfrastructureError):
    """The stage needs more memory than the machine has."""

    code = "MEMORY_SHORT"
    retryable = False  # the same settings need the same memory


class WorkerLost(InfrastructureError):
    """The worker process died."""

    code = "WORKER_LOST"


class MachineLost(InfrastructureError):
    """What the job ran on died."""

    code = "MACHINE_LOST"


class StageTimeout(InfrastructureError):
    """The stage took longer than its time limit."""

    code = "STAGE_TIMEOUT"


def defect(error: Exception, where: str = "") -> RoadscribeError:
    """Return an exception that nobody expected as an error of the family: a retry meets the same defect."""
    hint = "This is a defect of Roadscribe: report it."
    return RoadscribeError(f"{type(error).__name__}: {error}", where=where, hint=hint)


@contextmanager
def storage_errors(where: str) -> Iterator[None]:
    """Translate OSError of a write into DiskFull or StorageError, once, at the border to the file system."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFull(where=where, hint="Free some space and retry the job; finished stages are kept.") from error
        raise StorageError(
            f"{error.strerror or error}", where=where, hint="Check the path and its permissions."
        ) from error
