"""Lets the tests of any folder use the helpers that lie beside the listener's tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "listener"))
