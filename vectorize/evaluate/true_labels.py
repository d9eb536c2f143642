"""The true map of a drive as labels: what the same keyframes would be labelled if everything had been seen.

They train supervised models beside pseudo labels, and tell how far a model trained on pseudo labels is from the truth.
"""

from __future__ import annotations

import numpy as np

from recon.drive import DriveLog
from vectorize.config import CropConfig
from vectorize.evaluate.patch import TruthIndex, check_frame
from vectorize.labels.class_ids import CLASS_TYPE
from vectorize.labels.label_set import LabelSet, PseudoLabels, mask_shape
from vectorize.road_map import RoadMap


def true_labels(drive: DriveLog, road_map: RoadMap, config: CropConfig, *, source: str = "") -> LabelSet:
    """Return one label per keyframe with all elements inside the patch; every cell of the `known` mask is set.

    The map must be complete within the patches, in the drive's world frame. `source` names it in the provenance.
    Raises InputInvalid if it does not touch any patch.
    """
    index = TruthIndex(RoadMap(elements=tuple(e for e in road_map.elements if e.element_class in CLASS_TYPE)))
    keyframes = [(i, frame) for i, frame in enumerate(drive.frames) if frame.keyframe]
    check_frame(index, [f.world_from_ego for _, f in keyframes], (config.length_m, config.width_m), drive.name)
    known = np.ones(mask_shape(config.length_m, config.width_m, config.mask_cell_m), dtype=bool)
    labels = tuple(
        PseudoLabels(
            frame=i,
            time_ns=frame.time_ns,
            world_from_ego=frame.world_from_ego,
            elements=index.crop(frame.world_from_ego, drive.ground_z_ego_m, config),
            known=known,
        )
        for i, frame in keyframes
    )
    return LabelSet(
        drive=drive.name,
        labels=labels,
        length_m=config.length_m,
        width_m=config.width_m,
        mask_cell_m=config.mask_cell_m,
        provenance={"true_map": source},
    )
