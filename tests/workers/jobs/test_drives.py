"""The key of a stage changes with every setting that its result depends on."""

from __future__ import annotations

from recon.config import FitConfig
from vectorize.trace_config import TraceConfig
from workers.jobs.label import LabelJob

DRAW = next(stage for stage in LabelJob(drive="/drive").plan() if stage.role == "draw")


def test_held_out_frames_are_measured_again_when_flat_ground_is_traced_otherwise() -> None:
    jobs = [
        LabelJob(drive="/drive", fit=FitConfig(holdout_every=every), trace=TraceConfig(bridge_gap_m=gap))
        for every, gap in ((5, 9.0), (5, 3.0), (0, 9.0), (0, 3.0))
    ]
    measured, otherwise, unmeasured, again = (job.config_identity(DRAW) for job in jobs)
    assert measured != otherwise
    assert unmeasured == again  # nothing is traced then
