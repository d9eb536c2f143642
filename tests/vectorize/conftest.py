from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

# With importlib import mode test folders are no packages: the painter is loaded by path, once.
if "painter" not in sys.modules:
    spec = importlib.util.spec_from_file_location("painter", Path(__file__).with_name("painter.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["painter"] = module
    spec.loader.exec_module(module)
