"""BevMap as cloud-optimised GeoTIFFs: colour, class, height and views of the site."""

from __future__ import annotations

import numpy as np

from recon.arrays import AnyArray
from recon.bev.bev_map import BevMap
from recon.classes import COLORS_RGB, RoadClass
from recon.geo_origin import GeoOrigin
from vectorize.formats.exported_files import ExportedFiles, missing_package
from vectorize.road_map import RoadMap

LOSES = (
    "class probabilities: only the likeliest class and its probability in percent are written",
    "trips: the trips that saw a cell are not written",
)
BLOCK_PX = 512


def projection_of(origin: GeoOrigin) -> str:
    """Return the PROJ string of the drive's own frame: transverse Mercator about its origin, true to scale there."""
    place = f"+lat_0={origin.latitude_deg!r} +lon_0={origin.longitude_deg!r}"
    return f"+proj=tmerc {place} +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m +no_defs"


def write_geotiff(name: str, bev: BevMap, road_map: RoadMap) -> ExportedFiles:
    """Return five GeoTIFFs of one grid, row 0 in the north, in the drive's own metres.

    `_color` RGBA (alpha 0 = unseen), `_class` ids with palette, `_percent` probability of that class, `_height` metres
    above the ellipsoid (NaN = unseen; without an origin world z), `_views` images per cell (0 = unseen). Without an
    origin they have no coordinate system, and a note states this. Raises ConfigInvalid without rasterio.
    """
    origin = road_map.origin
    seen = bev.seen
    alpha = np.where(seen, 255, 0).astype(np.uint8)
    probability = bev.class_probability
    ids = np.where(seen, probability.argmax(axis=2), RoadClass.UNKNOWN).astype(np.uint8)
    percent = np.where(seen, np.round(100.0 * probability.max(axis=2).astype(np.float32)), 0).astype(np.uint8)
    known_height = seen & np.isfinite(bev.height_m)
    height = np.where(known_height, bev.height_m + (origin.altitude_m if origin else 0.0), np.nan).astype(np.float32)
    palette = {i: (*color, 255 if i else 0) for i, color in enumerate(COLORS_RGB.tolist())}
    legend = {f"CLASS_{c.value}": c.name for c in RoadClass}
    files = {
        "color": _cog(bev, origin, [*np.moveaxis(bev.rgb, 2, 0), alpha], resampling="average", photometric="RGB"),
        "class": _cog(bev, origin, [ids], palette=palette, tags=legend),
        "percent": _cog(bev, origin, [percent], nodata=0),
        "height": _cog(bev, origin, [height], nodata=float("nan"), resampling="average", predictor=3),
        "views": _cog(bev, origin, [bev.views], nodata=0),
    }
    notes = []
    if origin is None:
        notes.append(
            "no coordinate system: the drive states no origin (--origin LAT,LON[,ALT]); pixels are local metres"
        )
    lost = int((seen & ~known_height).sum())
    if lost:
        notes.append(f"{lost} seen cells have no finite height and are empty in the height raster")
    return ExportedFiles(files={f"{name}_{layer}.tif": data for layer, data in files.items()}, notes=tuple(notes))


def _cog(
    bev: BevMap,
    origin: GeoOrigin | None,
    bands: list[AnyArray],
    *,
    nodata: float | None = None,
    palette: dict[int, tuple[int, ...]] | None = None,
    tags: dict[str, str] | None = None,
    resampling: str = "nearest",
    predictor: int = 2,
    photometric: str = "",
) -> bytes:
    """Return one raster as bytes of a cloud-optimised GeoTIFF with overviews."""
    try:
        import rasterio
        from rasterio.enums import ColorInterp
        from rasterio.io import MemoryFile
    except ImportError as error:
        raise missing_package("rasterio", "GeoTIFF") from error
    grid = bev.grid
    height, width = grid.shape
    profile = {"height": height, "width": width, "count": len(bands), "dtype": bands[0].dtype, "nodata": nodata}
    profile["transform"] = rasterio.Affine(grid.cell_m, 0.0, grid.west_m, 0.0, -grid.cell_m, grid.north_m)
    if origin is not None:
        profile["crs"] = rasterio.CRS.from_string(projection_of(origin))
    options = {"compress": "DEFLATE", "blocksize": BLOCK_PX, "predictor": str(predictor)}
    with MemoryFile() as memory:
        with memory.open(driver="COG", **profile, **options, resampling=resampling) as raster:
            raster.write(np.stack(bands))
            if photometric:
                raster.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
            if palette:
                raster.write_colormap(1, palette)
            raster.update_tags(**(tags or {}), AREA_OR_POINT="Area")
        return bytes(memory.read())
