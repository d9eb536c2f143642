from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

# With importlib import mode test folders are no packages: what several tests share is loaded by path, once.
if "lines" not in sys.modules:
    spec = importlib.util.spec_from_file_location("lines", Path(__file__).with_name("lines.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["lines"] = module
    spec.loader.exec_module(module)
