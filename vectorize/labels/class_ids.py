"""The ids of element classes in sample JSON. Apart from the rest, since settings name classes and load no engine."""

from __future__ import annotations

# The first three ids are MapTR's own; a reader of those ignores the rest.
CLASS_TYPE = {"divider": 0, "ped_crossing": 1, "boundary": 2, "stop_line": 3, "centerline": 4}
