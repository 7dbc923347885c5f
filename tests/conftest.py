"""Lets the tests of any folder use the helpers that lie beside the listener's tests."""

import sys
from pathlib import Path

for folder in ("listener", "hostile"):
    sys.path.append(str(Path(__file__).parent / folder))
