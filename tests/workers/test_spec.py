import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recon.errors import Cancelled, ConfigInvalid, DiskFull, InputInvalid, RoadscribeError, WorkerLost
from workers.executor import StageOutcome, error_of
from workers.retry import LONGEST_DELAY_S, decide
from workers.spec import LabelJob, natural_key, parse_spec, parse_spec_file, spec_record


def test_the_key_does_not_depend_on_spelled_out_defaults():
    short = parse_spec('{"kind": "label", "drive": "/d"}')
    long = parse_spec(json.dumps(spec_record(short)))
    assert natural_key(short) == natural_key(long)
    assert natural_key(short) != natural_key(parse_spec('{"kind": "label", "drive": "/d", "fit": {"seed": 1}}'))


def test_the_files_of_a_job_are_named():
    segment = {"backend": "openvino", "weights": "/m.xml", "class_map": "/c.json"}
    spec = parse_spec(json.dumps({"kind": "label", "drive": "/d", "segment": segment}))
    assert spec.input_paths() == {"/drive": "/d", "/segment/weights": "/m.xml", "/segment/class_map": "/c.json"}
    assert LabelJob(drive="/d").input_paths() == {"/drive": "/d"}


def test_a_file_names_all_faults():
    with pytest.raises(ConfigInvalid, match=r"/fit/a: .*/fit/b: "):
        parse_spec_file('{"kind": "label", "drive": "/d", "fit": {"a": 1, "b": 2}}', "job.json")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["kind", "drive", "fit", "cell_m", "probe", "x"]), x),
    )
)
def test_any_json_is_a_spec_or_a_typed_refusal(value):
    if isinstance(value, dict):
        value.setdefault("kind", "label")
        value.setdefault("drive", "/d")
    with contextlib.suppress(ValidationError, ConfigInvalid):
        natural_key(parse_spec(json.dumps(value)))


def test_retries_are_bounded_and_only_for_the_machine():
    assert decide(WorkerLost(), 1).again
    assert not decide(WorkerLost(), 3).again
    assert decide(WorkerLost(), 3, max_attempts=20).again
    for error in (InputInvalid(), DiskFull(), Cancelled(), RoadscribeError()):
        assert not decide(error, 1).again
    delays = [decide(WorkerLost(), n, 20).delay_s for n in range(1, 20)]
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_DELAY_S


def test_every_error_survives_the_way_from_a_worker():
    kinds, waiting = [], [RoadscribeError]
    while waiting:
        kind = waiting.pop()
        kinds.append(kind)
        waiting += [k for k in kind.__subclasses__() if k.__module__ == "recon.errors"]
    for kind in kinds:
        error = kind("m", where="w", hint="h")
        outcome = StageOutcome(seconds=1.0, peak_memory_bytes=2, error=error)
        back = StageOutcome.from_json(outcome.to_json()).error
        assert (type(back), back.record()) == (kind, error.record())
    assert type(error_of({"code": "?", "message": "", "where": "", "hint": ""})) is RoadscribeError


@pytest.mark.parametrize(
    "settings",
    [
        {"fit": {"seed": -1}},
        {"fit": {"lidar_weight": -0.1}},
        {"trace": {"bridge_angle_deg": 0.0}},
        {"trace": {"bridge_lateral_m": -0.3}},
        {"trace": {"min_divider_m": -1.0}},
        {"trace": {"min_views": 0}},
        {"crop": {"min_views": 0}},
        {"crop": {"length_m": 1000.0, "width_m": 1000.0, "mask_cell_m": 0.01}},
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings):
    ((stage, fields),) = settings.items()
    with pytest.raises(ConfigInvalid, match=f"^{stage}.({'|'.join(fields)})"):
        parse_spec(json.dumps({"kind": "label", "drive": "/d", **settings}))
