"""The exchange formats of results: what each needs, and what it cannot hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recon.bev.bev_map import BevMap
from recon.drive import DriveLog
from recon.errors import ConfigInvalid
from recon.surface.road_surface import RoadSurface
from vectorize.formats import (
    argoverse2_archive,
    geopackage,
    geoparquet,
    geotiff,
    lanelet2,
    maptr,
    nuscenes_expansion,
    ply,
    streammapnet,
)
from vectorize.formats.exported_files import ExportedFiles
from vectorize.labels.label_set import LabelSet
from vectorize.road_map import RoadMap

AnyKind = type[RoadMap] | type[BevMap] | type[RoadSurface] | type[LabelSet] | type[DriveLog]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeFormat:
    """One format: `write(name, *artifacts)` of the kinds in `needs` gives its files."""

    name: str
    title: str
    needs: tuple[AnyKind, ...]
    write: Callable[..., ExportedFiles]
    loses: tuple[str, ...]  # what the format cannot hold of any map


def _format(
    name: str, title: str, write: Callable[..., ExportedFiles], loses: tuple[str, ...], *needs: Any
) -> ExchangeFormat:
    return ExchangeFormat(name=name, title=title, needs=needs, write=write, loses=loses)


FORMATS: dict[str, ExchangeFormat] = {
    one.name: one
    for one in (
        _format("geopackage", "GeoPackage", geopackage.write_geopackage, geopackage.LOSES, RoadMap),
        _format("geoparquet", "GeoParquet 1.1", geoparquet.write_geoparquet, geoparquet.LOSES, RoadMap),
        _format("lanelet2", "Lanelet2 OSM", lanelet2.write_lanelet2, lanelet2.LOSES, RoadMap),
        _format("maptr", "MapTR annotations", maptr.write_maptr, maptr.LOSES, LabelSet, DriveLog),
        _format("maptrv2", "MapTRv2 infos", maptr.write_maptrv2, maptr.LOSES_V2, LabelSet, DriveLog),
        _format(
            "streammapnet",
            "StreamMapNet infos",
            streammapnet.write_streammapnet,
            streammapnet.LOSES,
            LabelSet,
            DriveLog,
        ),
        _format(
            "nuscenes",
            "nuScenes map expansion",
            nuscenes_expansion.write_nuscenes,
            nuscenes_expansion.LOSES,
            *(RoadMap, BevMap),
        ),
        _format(
            "argoverse2",
            "Argoverse 2 map archive",
            argoverse2_archive.write_argoverse2,
            argoverse2_archive.LOSES,
            *(RoadMap, BevMap),
        ),
        _format("geotiff", "Cloud-optimised GeoTIFF", geotiff.write_geotiff, geotiff.LOSES, BevMap, RoadMap),
        _format("ply", "PLY of Gaussian surfels", ply.write_ply, ply.LOSES, RoadSurface),
    )
}


def format_named(name: str) -> ExchangeFormat:
    """Return a format by name; raises ConfigInvalid that lists all formats."""
    if name not in FORMATS:
        raise ConfigInvalid(f"no export format is called {name!r}", hint=f"The formats are {', '.join(FORMATS)}.")
    return FORMATS[name]
