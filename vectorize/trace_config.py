"""Settings of the stage trace: `TraceConfig` nests those of its parts, and docs/tracing.md lists them all.

Probabilities, shares, contrasts and trusts lie in 0..1. These values decide which lines are found and how they are
joined. Constants of numerical methods stand in the modules that use them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from recon.config import require

Range = tuple[float, float]
SHARE: Range = (0.0, 1.0)
UNITS = {"_m": " m", "_m2": " m2", "_deg": " deg", "_rad": " rad"}


def unit_of(name: str) -> str:
    """Return the unit that a setting's name ends in, with a space before it, or "" for a number without one."""
    return next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")


def check_ranges(section: str, config: object, **ranges: Range) -> None:
    """Raise ConfigInvalid unless every named setting lies in its closed range."""
    for name, (low, high) in ranges.items():
        where = f"trace.{section}.{name} must lie in {low:g}..{high:g}{unit_of(name)}"
        require(low <= getattr(config, name) <= high, where)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryConfig:
    """Which edges of the drivable area are boundaries."""

    probe_m: float = 0.3  # from the edge, where both sides are read: beyond the blur of a fitted edge
    smooth_m: float = 0.3  # along the line: evens out cells, keeps corners of kerbs
    min_contrast: float = 0.15  # of drivable probability across the edge
    bridge_gap_m: float = 3.0  # longest gap between two pieces; gaps of dashes would close driveways
    bridge_angle_deg: float = 20.0  # kerbs turn faster than painted lines
    soft_gap_m: float = 8.0  # longest soft stretch of one edge: its sides differ little, but it goes on steadily
    min_island_m2: float = 1.5  # a smaller ring that is also shorter than the next is a speck of the class map
    min_island_m: float = 2.0  # separators are narrow, so their area alone would drop them
    min_road_m2: float = 20.0  # of road with other ground all around: no vehicle fits on less
    # Some segmentation nets label vehicles as BACKGROUND. An edge against it counts only if all of these hold.
    background_min_trust: float = 0.5  # of its cells: four views
    background_min_contrast: float = 0.35
    background_min_smoothness: float = 0.3
    background_turn_rad: float = 1.2  # needless turning at which smoothness has fallen to 37 %
    background_turn_window_m: float = 6.0  # over which turning is summed: longer than a vehicle's smeared outline
    # An edge around what stands on the road, with no kerb and no other ground around it, is none of the road.
    vehicle_length_m: float = 20.0  # longest of such things: a lorry, two cars that touch
    vehicle_width_m: float = 4.0  # widest: a bus, smeared by half a metre on both sides
    wall_width_m: float = 1.2  # narrower ones are barriers and walls, which stay

    def __post_init__(self) -> None:
        shares = ("min_contrast", "background_min_trust", "background_min_contrast", "background_min_smoothness")
        check_ranges("boundary", self, **dict.fromkeys(shares, SHARE), probe_m=(0.05, 2), smooth_m=(0.01, 5))
        check_ranges("boundary", self, soft_gap_m=(0, 100))
        check_ranges("boundary", self, bridge_gap_m=(0, 50), bridge_angle_deg=(0.1, 90))
        check_ranges("boundary", self, min_island_m2=(0, 1000), min_island_m=(0, 100), min_road_m2=(0, 10_000))
        check_ranges("boundary", self, vehicle_length_m=(0, 200), vehicle_width_m=(0, 50), wall_width_m=(0, 50))
        check_ranges("boundary", self, background_turn_rad=(0.01, 100), background_turn_window_m=(0.5, 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class RidgeConfig:
    """Which ridges of smoothed marking probability are paint."""

    strong_probability: float = 0.18  # a line needs a place this high: half-worn paint, smoothed
    weak_probability: float = 0.12  # from there it goes on while this high
    faint_probability: float = 0.03  # faint ridges only link clear ones over short gaps
    strong_curvature: float = 0.25  # across the ridge, over its height: a wash of colour is flat
    weak_curvature: float = 0.08
    min_length_m: float = 0.8  # about half the shortest dash in use
    spur_m: float = 0.6  # shorter side branches come from ragged edges of the paint
    corner_deg: float = 40.0  # turn within 2 m at which a ridge is two lines: a stop line that meets a divider

    def __post_init__(self) -> None:
        shares = ("strong_probability", "weak_probability", "faint_probability")
        check_ranges("ridge", self, **dict.fromkeys(shares, SHARE))
        check_ranges("ridge", self, strong_curvature=(0, 10), weak_curvature=(0, 10))
        check_ranges("ridge", self, min_length_m=(0.1, 100), spur_m=(0, 100), corner_deg=(1, 180))


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeConfig:
    """How the direction of a line's end is measured, and which ends carry no long bridge."""

    dash_m: float = 6.0  # over which a straight end is fitted: a dash is at most this long
    curve_m: float = 8.0  # from this length on a line's own curvature can be measured
    course_m: float = 20.0  # over which the course of a long line is fitted
    haze_probability: float = 0.4  # paint fainter and wider than both is haze (gutters, rail heads, sun spots):
    haze_width_m: float = 0.4  # it carries no gap longer than itself

    def __post_init__(self) -> None:
        check_ranges("bridge", self, dash_m=(0.5, 100), curve_m=(0.5, 200), course_m=(0.5, 500))
        check_ranges("bridge", self, haze_probability=SHARE, haze_width_m=(0, 10))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowConfig:
    """Which dashes form a row: equal ones at one period on one curve, whatever the pattern of the country."""

    longest_dash_m: float = 13.0  # 8 m to 12 m on expressways, and half a metre of blur at each end
    longest_gap_m: float = 14.5  # of a row without holes
    longest_link_m: float = 45.0  # between the middles of two dashes of a row with holes
    circle_deg: float = 14.0  # between two dashes, off one circle through both: a curve into another one
    lateral_m: float = 1.25  # sideways step that this may amount to
    period_share: float = 0.2  # by which the periods of a row may differ
    least_dashes: int = 3  # of a row
    dot_m: float = 0.8  # shorter paint shows no direction: studs and dots
    dot_probability: float = 0.06  # of a dot of 10 cm, smoothed
    longest_dot_gap_m: float = 5.0
    dot_turn_deg: float = 35.0  # from dot to dot
    least_dots: int = 5  # of a row: a dot has no direction that could tell against it
    mouth_m: float = 4.0  # of a hole beside which the road opens: a side street, where paint ends by rule
    mouth_deep_m: float = 6.0  # that it opens by: a parking bay is 5 m deep

    def __post_init__(self) -> None:
        check_ranges("row", self, longest_dash_m=(0.5, 50), longest_gap_m=(0.1, 50), longest_link_m=(1, 200))
        check_ranges("row", self, circle_deg=(0.1, 90), lateral_m=(0, 5), period_share=(0, 0.5), least_dashes=(3, 100))
        check_ranges("row", self, dot_m=(0.1, 5), dot_probability=SHARE, longest_dot_gap_m=(0, 20))
        check_ranges("row", self, dot_turn_deg=(0, 90), least_dots=(3, 100))
        check_ranges("row", self, mouth_m=(0.5, 100), mouth_deep_m=(0.5, 30))


@dataclass(frozen=True, slots=True, kw_only=True)
class GuideConfig:
    """Which pieces of a worn edge line follow the boundary beside them (`guided_gap_m`)."""

    edge_line_m: float = 2.0  # farthest from its boundary; lane lines lie farther away
    min_piece_m: float = 4.0  # a shorter piece may lie at that distance by chance
    end_m: float = 3.0  # over which the distance and the direction of an end are taken
    corner_rad: float = 0.5  # a boundary that turns more than this within the next length goes round a street corner,
    corner_m: float = 6.0  # where edge lines stop

    def __post_init__(self) -> None:
        check_ranges("guide", self, edge_line_m=(0, 20), min_piece_m=(0.2, 100), end_m=(0.2, 50))
        check_ranges("guide", self, corner_rad=(0.01, 7), corner_m=(0.2, 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class DividerConfig:
    """Which painted lines are dividers."""

    max_width_m: float = 0.7  # wider than any line: worn patches, text, smeared objects
    wide_keep_m: float = 8.0  # from this length on a wide line stays: it is one that two trips place apart
    faint_gap_m: float = 2.0  # over which faint ridges may link clear ones; they may lie anywhere
    longest_dash_m: float = 6.0  # a piece that stays this short is straightened, and judged by the next value
    isolated_probability: float = 0.33  # mean marking probability that a dash without continuation needs
    smooth_m: float = 0.8  # along a joined line; at a radius of 20 m it moves the line by 16 mm
    double_apart_m: float = 0.52  # largest distance between the axes of the two lines of a double line
    # Gutters and rows of setts: wide in the classes and in the colours, and never sure.
    strip_width_m: float = 0.5  # width of the marking probability from which a line may be such a strip
    strip_light_m: float = 0.37  # width of its brightness: a single line is 0.3 m wide at most
    strip_probability: float = 0.65  # stronger paint stays, also two lines side by side
    strip_trips_m: float = 0.15  # wider for several trips, which place a line a little apart

    def __post_init__(self) -> None:
        check_ranges("divider", self, max_width_m=(0.05, 10), wide_keep_m=(0, 1000), faint_gap_m=(0, 50))
        check_ranges("divider", self, longest_dash_m=(0, 100), isolated_probability=SHARE)
        check_ranges("divider", self, strip_width_m=(0, 10), strip_light_m=(0, 10), strip_trips_m=(0, 10))
        check_ranges("divider", self, strip_probability=SHARE)
        check_ranges("divider", self, smooth_m=(0.01, 20), double_apart_m=(0, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleConfig:
    """Solid, dashed, double or a pair of both, stretch by stretch."""

    min_stretch_m: float = 5.0  # a shorter stretch of another style belongs to its neighbour
    min_gap_m: float = 0.7  # between dashes; shorter breaks are wear, but for many equal ones
    longest_dash_m: float = 13.0  # longer runs of paint are solid
    solid_run_m: float = 8.0  # where gaps are irregular, no dash is this long
    two_lines_m: float = 0.3  # width of paint from which it may be two lines, where the line is narrower elsewhere
    double_probability: float = 0.5  # paint this strong shows its true width: worn paint is as wide as its haze
    double_width_m: float = 0.42  # two lines of 12 cm with their gap; a wide single line is 0.3 m at most
    crest_min_apart_m: float = 0.15  # between the axes of a double line, seen as two crests across one ridge
    crest_max_apart_m: float = 0.5
    crest_share: float = 0.6  # of the higher crest that the lower one must reach
    valley_share: float = 0.97  # of the lower crest that the valley between them may reach
    crested_share: float = 0.25  # of a line's stretches that must show two crests; a single line shows them nowhere
    trips_apart_m: float = 0.28  # more than twice what alignment lets trips miss each other by (align.most_residual_m)

    def __post_init__(self) -> None:
        shares = ("double_probability", "crest_share", "valley_share", "crested_share")
        check_ranges("style", self, **dict.fromkeys(shares, SHARE), min_gap_m=(0.1, 50), solid_run_m=(0.1, 1000))
        check_ranges("style", self, min_stretch_m=(0, 100), longest_dash_m=(0.5, 50), two_lines_m=(0.1, 2))
        check_ranges("style", self, double_width_m=(0, 10), crest_min_apart_m=(0, 1.2), crest_max_apart_m=(0, 1.2))
        check_ranges("style", self, trips_apart_m=(0, 10))


@dataclass(frozen=True, slots=True, kw_only=True)
class CrosswalkConfig:
    """How crosswalk paint becomes polygons."""

    stripe_gap_m: float = 0.9  # widest space between the stripes of a zebra that is one area from the start
    block_gap_m: float = 2.0  # widest gap, worn or between stripes, within one crossing
    worn_gap_m: float = 6.0  # widest gap between two parts whose stripes begin and end on the same lines
    longest_stripe_m: float = 5.0  # a longer line beside a zebra is a stop line
    min_part_m: float = 1.0  # shorter parts are specks, which join nothing
    similar_share: float = 0.7  # of the wider of two parts of one zebra that the other must reach
    filled_share: float = 0.65  # of their common rectangle that two parts and the gap between them must fill
    rectangle_share: float = 0.9  # a crossing that fills its rectangle this much is published as that rectangle
    convex_share: float = 0.85  # of its convex hull, and as that

    def __post_init__(self) -> None:
        shares = ("similar_share", "filled_share", "rectangle_share", "convex_share")
        check_ranges("crosswalk", self, **dict.fromkeys(shares, SHARE), min_part_m=(0, 50))
        check_ranges("crosswalk", self, stripe_gap_m=(0, 10), block_gap_m=(0, 20), longest_stripe_m=(0, 50))
        check_ranges("crosswalk", self, worn_gap_m=(0, 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossingPairConfig:
    """Which two lines across the road are a crossing without stripes."""

    min_gap_m: float = 1.5  # between the axes of the two lines
    max_gap_m: float = 5.0
    max_angle_deg: float = 10.0  # between the two lines
    overlap_share: float = 0.7  # of the longer line that lies beside the other
    painted_share: float = 0.65  # of the way from kerb to kerb: the rest is worn
    own_share: float = 0.4  # of that way in classes that no line along the road has
    crosswalk_share: float = 0.1  # of the paint labelled as crosswalk: with less both are stop lines, bars or arrows
    empty_share: float = 0.2  # of the place between them that may be painted: with more it is a zebra or hatching
    min_line_m: float = 2.0  # piece of paint from which a line across the road is searched
    end_m: float = 1.0  # from a kerb to the end of the paint
    min_road_m: float = 2.5  # from kerb to kerb
    max_road_m: float = 40.0  # a site is traced in windows that overlap by at least this much

    def __post_init__(self) -> None:
        shares = ("overlap_share", "painted_share", "own_share", "crosswalk_share", "empty_share")
        check_ranges("crossing_pair", self, **dict.fromkeys(shares, SHARE), min_gap_m=(0, 50), max_gap_m=(0, 50))
        check_ranges("crossing_pair", self, max_angle_deg=(0, 90), min_line_m=(0, 100), end_m=(0, 20))
        check_ranges("crossing_pair", self, min_road_m=(0, 200), max_road_m=(1, 200))


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLineConfig:
    """Which paint across a lane is a stop line."""

    min_length_m: float = 1.7  # of stop-line paint: a lane of 2.5 m, of which a third may be hidden or worn
    edge_line_m: float = 1.0  # stop-line paint along a kerb and this close to it is an edge line
    transverse_deg: float = 50.0  # lane marking that lies across its neighbours by this much is no divider
    neighbour_m: float = 15.0  # radius in which those neighbours are searched
    marking_min_width_m: float = 0.25  # lane marking across the lane is a stop line from this width
    marking_min_length_m: float = 1.5  # and this length on,
    marking_max_length_m: float = 15.0  # and up to this length; longer lines are dividers of a side street
    same_m: float = 1.0  # a stop line of lane marking this close to one of stop-line paint is the same

    def __post_init__(self) -> None:
        check_ranges("stop_line", self, min_length_m=(0, 50), edge_line_m=(0, 20), transverse_deg=(0, 90))
        check_ranges("stop_line", self, neighbour_m=(0, 200), marking_min_width_m=(0, 10), same_m=(0, 50))
        check_ranges("stop_line", self, marking_min_length_m=(0, 100), marking_max_length_m=(0, 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class HatchingConfig:
    """Which paint is not a line of traffic: bars at a period, lattices, combs of parking bays, arrows, symbols."""

    off_deg: float = 15.0  # between a bar and the road around it; lines of traffic part at less
    least_bars: int = 3
    near_m: float = 2.2  # between the axes of bars that need nothing else: no lane is as narrow
    wide_m: float = 7.0  # between bars that rest on a kerb or a line: a bay along the kerb is 6 m long
    least_apart_m: float = 0.35  # closer pieces are parts of one bar, or a double line
    shortest_bar_m: float = 0.8
    longest_bar_m: float = 20.0  # a diagonal of a box junction
    straight_share: float = 0.9  # of a bar's length that its chord reaches
    haze_probability: float = 0.45  # paint fainter and wider than both is no bar, but haze of what was seen from afar
    haze_width_m: float = 0.6
    zebra_bars: int = 5  # from this many bars along the road on, closer than `zebra_m`, they are a zebra
    zebra_m: float = 2.2
    zebra_long_m: float = 6.0  # longest bar of such a zebra
    rest_line_m: float = 8.0  # length from which a line along the road carries a comb
    road_m: float = 8.0  # in which sides of the road and long lines show its direction best
    line_m: float = 20.0  # length from which a line does
    symbol_long_m: float = 9.0  # a longer piece of paint is no arrow, letter or sign
    symbol_wide_m: float = 0.65  # across the curve that fits it best: a line is narrower
    symbol_filled: float = 0.7  # share of its rectangle that is painted: more is a wide line
    box_long_m: float = 25.0  # longest closed rectangle of paint that is a bay or a bus stop
    box_wide_m: float = 1.2  # narrower ones are double lines
    box_widest_m: float = 4.5  # wider ones are lanes
    min_area_m2: float = 2.0  # smaller hatched areas are not published

    def __post_init__(self) -> None:
        check_ranges("hatching", self, off_deg=(1, 90), least_bars=(2, 100), near_m=(0, 20), wide_m=(0, 50))
        check_ranges("hatching", self, least_apart_m=(0, 5), shortest_bar_m=(0, 50), longest_bar_m=(0, 200))
        check_ranges("hatching", self, straight_share=SHARE, symbol_filled=SHARE)
        check_ranges("hatching", self, box_long_m=(0, 200), box_wide_m=(0, 50), box_widest_m=(0, 50))
        check_ranges("hatching", self, zebra_bars=(2, 100), zebra_m=(0, 20))
        check_ranges("hatching", self, haze_probability=SHARE, haze_width_m=(0, 10))
        check_ranges("hatching", self, zebra_long_m=(0, 50), rest_line_m=(0, 100), road_m=(0.5, 100), line_m=(1, 200))
        check_ranges("hatching", self, symbol_long_m=(0, 50), symbol_wide_m=(0.1, 5), min_area_m2=(0, 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceConfig:
    """How rasters become polylines; docs/tracing.md explains every setting."""

    simplify_m: float = 0.1
    bridge_gap_m: float = 9.4  # longest gap between two pieces of one divider: 30 feet, and what blur takes of them
    bridge_angle_deg: float = 10.0
    bridge_lateral_m: float = 0.3
    min_divider_m: float = 2.0
    min_boundary_m: float = 4.0
    min_crossing_m2: float = 2.0
    min_views: int = 1  # cells seen by fewer images count as unseen
    guided_gap_m: float = 40.0  # worn stretch of a line that a parallel line or boundary may carry it over; 0 = never
    boundary: BoundaryConfig = field(default_factory=BoundaryConfig)
    ridge: RidgeConfig = field(default_factory=RidgeConfig)
    bridge: BridgeConfig = field(default_factory=BridgeConfig)
    row: RowConfig = field(default_factory=RowConfig)
    guide: GuideConfig = field(default_factory=GuideConfig)
    divider: DividerConfig = field(default_factory=DividerConfig)
    style: StyleConfig = field(default_factory=StyleConfig)
    crosswalk: CrosswalkConfig = field(default_factory=CrosswalkConfig)
    crossing_pair: CrossingPairConfig = field(default_factory=CrossingPairConfig)
    stop_line: StopLineConfig = field(default_factory=StopLineConfig)
    hatching: HatchingConfig = field(default_factory=HatchingConfig)

    def __post_init__(self) -> None:
        require(0.0 <= self.guided_gap_m <= 200.0, "trace.guided_gap_m must lie in 0..200 m")
        require(0.0 < self.simplify_m <= 1.0, "trace.simplify_m must lie in 0..1 m")
        require(0.0 <= self.bridge_gap_m <= 50.0, "trace.bridge_gap_m must lie in 0..50 m")
        require(0.0 < self.bridge_angle_deg <= 90.0, "trace.bridge_angle_deg must lie in 0..90 degrees")
        require(0.0 < self.bridge_lateral_m <= 5.0, "trace.bridge_lateral_m must lie in 0..5 m")
        for name in ("min_divider_m", "min_boundary_m", "min_crossing_m2"):
            require(getattr(self, name) >= 0.0, f"trace.{name} must not be negative")
        require(self.min_views >= 1, "trace.min_views must be at least 1")
