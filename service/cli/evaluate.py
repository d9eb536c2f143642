"""`roadscribe evaluate`: how good a finished label job is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from recon.artifact import write_atomic
from recon.errors import ConfigInvalid
from service.cli.table import print_line, print_table, table_of
from service.cli.terminal import put

FIGURES = ("median", "mean", "p90")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    out: Annotated[
        Path,
        typer.Argument(help="Result folder of a finished label job; with --model, a folder of shards or a snapshot."),
    ],
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="A drive folder with a true map, a true map, or a map.geojson to compare with."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Measure this trained model on the samples of OUT instead.")
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test"] | None,
        typer.Option("--split", help="With --model: the split of a snapshot to measure; validation if left out."),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with tables and pictures here.")] = None,
    fill_holes: Annotated[
        bool, typer.Option("--fill-holes", help="Count unknown ground inside the observed area as observed.")
    ] = False,
    join_styles: Annotated[
        bool, typer.Option("--join-styles", help="Count a divider as one line where only its style changes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole record on stdout.")] = False,
) -> None:
    """Measure a result against a true map; without one, print the reprojection error on held-out frames.

    With --model, the predictions of a trained model are measured against the labels of shards, or against a true map.

    Example: roadscribe evaluate out --truth my_drive --html evaluation.html

    Example: roadscribe evaluate out/shards --model run/model
    """
    from vectorize.evaluate.config import EvaluateConfig

    config = EvaluateConfig(fill_holes=fill_holes, join_styles=join_styles)
    if split is not None and model is None:
        raise ConfigInvalid("only a model is measured on a split", where="--split", hint="Add --model MODEL.")
    if model is None:
        from vectorize.evaluate.evaluate_result import evaluate_result

        record, pictures = evaluate_result(out, truth, config, processes=min(4, len(os.sched_getaffinity(0))))
    else:
        from training.mapper.evaluate_model import evaluate_model  # torch: only for a model

        record, pictures = evaluate_model(model, [out], truth, config, split=split or "")
    if html is not None:
        from vectorize.evaluate.page import page

        write_atomic(html, page(record, pictures).encode())
    if as_json:
        put(json.dumps(record, allow_nan=False))
        return
    for key, title in (("patches", "patches"), ("site", "site")):
        if record[key] is not None:
            _print_part(title, record[key])
    if record["site"] is not None and record["site"]["calibration"]["metres"]:
        print_table(_calibration(record["site"]["calibration"]))
        print_line()
    if record["reprojection"]:
        print_table(_reprojection(record["reprojection"]))
        if "flat_ground" in record["reprojection"]:
            print_table(_beside_flat_ground(record["reprojection"]))
        elif "flat_ground_left_out" in record["reprojection"]:
            print_line(f"not compared with flat ground: {record['reprojection']['flat_ground_left_out']}")
        if "check" in record["reprojection"]:
            _print_check(record["reprojection"]["check"])
    for note in [*record["notes"], *((record["patches"] or {}).get("notes", []))]:
        print_line(f"note: {note}")
    if html is not None:
        print_line()
        print_line(f"Page: {html}")


def _print_part(title: str, part: Mapping[str, Any]) -> None:
    for scope, name in (("observed", "observed area"), ("full_range", "full range")):
        if part[scope] is None:
            continue
        print_line(f"{title}, {name}", style="bold")
        table = table_of("", "true", "labels", "AP", "median m", *_heads("F1", part), "Frechet", "raster")
        classes = part[scope]["classes"]
        for key, entry in classes.items():
            table.add_row(*_row(key, entry))
            for style, one in part[scope]["styles"].items() if key == "divider" else ():
                table.add_row(*_row(f"  {style}", one))
        mean = [part[scope]["mean"][kind]["map"] for kind in ("chamfer", "frechet", "raster")]
        blanks = [""] * len(part["thresholds_m"])
        table.add_row("mean", "", "", _percent(mean[0]), "", *blanks, _percent(mean[1]), _percent(mean[2]))
        print_table(table)
        for entry in classes.values():
            if entry["why"]:
                print_line(f"  {entry['why']}")
        print_line()
    if part["coverage"] is not None:
        print_line(f"{title}, coverage", style="bold")
        table = table_of("", "true", "observed", *_heads("found", part))
        for key, entry in part["coverage"]["classes"].items():
            found = [_percent(v) for v in entry["found_of_observed_at"]]
            table.add_row(key, f"{entry['true']:.0f} {entry['unit']}", _percent(entry["observed"]), *found)
        print_table(table)
        print_line(f"{_percent(part['coverage']['area'])} % of the ground was observed")
        print_line()


def _heads(name: str, part: Mapping[str, Any]) -> list[str]:
    return [f"{name} {t} m" for t in part["thresholds_m"]]


def _row(name: str, entry: Mapping[str, Any]) -> list[str]:
    f1 = [_percent(v) for v in entry["chamfer"]["f1_at"]]
    counts = [str(entry["true"]), str(entry["predicted"])]
    aps = [_percent(entry[kind]["ap"]) for kind in ("chamfer", "frechet", "raster")]
    median = entry["chamfer"]["median_m"]
    return [name, *counts, aps[0], "-" if median is None else f"{median:.2f}", *f1, aps[1], aps[2]]


def _calibration(calibration: Mapping[str, Any]) -> Table:
    table = table_of("confidence, site", "metres", "stated", f"right ({calibration['right_m']} m)", "ECE")
    for name, entry in [*calibration["classes"].items(), ("all", calibration)]:
        table.add_row(name, f"{entry['metres']:.0f}", *(_percent(entry[k]) for k in ("confidence", "right", "ece")))
    return table


def _reprojection(reprojection: Mapping[str, Any]) -> Table:
    table = table_of("reprojection", "images", "samples", "median px", "90 % within px", "")
    if "classes" not in reprojection:
        row = [str(reprojection[k]) for k in ("images", "all_vertices", "all_median_px", "all_p90_px")]
        table.add_row("divider", *row, "an older job measured dividers only")
    for name, entry in reprojection.get("classes", {}).items():
        numbers = ["" if entry[k] is None else f"{entry[k]:.2f}" for k in ("median_px", "p90_px")]
        table.add_row(name, str(entry["images"]), str(entry["samples"]), *numbers, entry["why"])
    return table


def _print_check(check: dict[str, Any]) -> None:
    from vectorize.evaluate.paint_check import remarks

    table = table_of("what the reprojection error cannot see", "remark from")
    for said, limit in remarks(check):
        table.add_row(said, limit)
    print_table(table)
    print_line(check["verdict"], style="bold")
    print_line()


def _beside_flat_ground(reprojection: Mapping[str, Any]) -> Table:
    within = "% within 1, 2, 4 px"
    table = table_of("painted dividers", "median px", "mean", "90 %", within, f"marks met, {within}")
    for title, entry in (("this map", reprojection), ("flat ground", reprojection["flat_ground"])):
        for which, where in (("painted", ""), ("common", ", on both maps")):
            numbers = ["-" if entry[f"{which}_{k}_px"] is None else f"{entry[f'{which}_{k}_px']:.2f}" for k in FIGURES]
            shares = [" ".join(map(_percent, entry[k].values())) for k in (f"{which}_within_px", "marks_within_px")]
            table.add_row(title + where, *numbers, shares[0], "" if where else shares[1])
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
