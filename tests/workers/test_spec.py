import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recon.errors import Cancelled, ConfigInvalid, DiskFull, InputInvalid, RoadscribeError, WorkerLost
from workers.jobs.drives import file_stem
from workers.jobs.label import LabelJob
from workers.pool import StageOutcome, error_of
from workers.retry import LONGEST_DELAY_S, decide
from workers.spec import faults_of, natural_key, parse_spec, spec_record


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


def test_all_faults_of_a_spec_are_named():
    with pytest.raises(ValidationError) as caught:
        parse_spec('{"kind": "label", "drive": "/d", "fit": {"a": 1, "b": 2}}')
    assert re.fullmatch(r"/fit/a: .*; /fit/b: .*", faults_of(caught.value))


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


KEYS = [
    "job",
    "drive",
    "format",
    "scene",
    "sweeps",
    "segment",
    "trip",
    "origin",
    "latitude_deg",
    "backend",
    "weights",
    "x",
]


@given(
    st.sampled_from(["aggregate", "export"]),
    st.dictionaries(
        st.sampled_from(["drives", *KEYS]),
        st.recursive(
            st.none() | st.booleans() | st.integers(-1, 99) | st.sampled_from(["ply", "auto", "a", "../a", "", "\0"]),
            lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(KEYS), x, max_size=4),
        ),
    ),
)
def test_a_job_over_jobs_is_a_spec_or_a_typed_refusal(kind, body):
    with contextlib.suppress(ValidationError, ConfigInvalid):
        spec = parse_spec(json.dumps({"kind": kind, **body}))
        assert parse_spec(json.dumps(spec_record(spec))) == spec
        assert all(spec.input_jobs().values())
        assert spec.with_paths(spec.input_paths()) == spec


def test_a_trip_may_have_settings_of_its_own():
    own = {"drive": "/b", "segment": {"backend": "openvino", "weights": "/m.xml"}}
    spec = parse_spec(json.dumps({"kind": "aggregate", "drives": [{"drive": "/a"}, own]}))
    assert spec.input_paths() == {
        "/drives/0/drive": "/a",
        "/drives/1/drive": "/b",
        "/drives/1/segment/weights": "/m.xml",
    }
    moved = spec.with_paths({place: "/moved" + path for place, path in spec.input_paths().items()})
    assert (moved.drives[1].drive, moved.drives[1].segment.weights) == ("/moved/b", "/moved/m.xml")
    first, second = (stage for stage in spec.plan() if stage.role == "segment")
    assert [spec.config_of(stage).backend for stage in (first, second)] == ["id_images", "openvino"]


@pytest.mark.parametrize(
    ("drive", "stem"), [("/data/a drive", "a_drive"), ("scene-0061", "scene-0061"), ("v1.0-mini/s", "s"), ("/", "map")]
)
def test_files_are_named_after_the_drive(drive, stem):
    assert file_stem(drive) == stem


@given(st.text(max_size=300))
def test_every_drive_gives_an_export_a_name_that_it_may_have(drive):
    body = {"kind": "export", "job": "a", "format": "ply", "name": file_stem(drive)}
    assert spec_record(parse_spec(json.dumps(body)))["name"]


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
