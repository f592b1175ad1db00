"""Stop the embedded server of a data folder, if one runs: `stop_embedded.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from ocrq import embedded

if __name__ == "__main__" and Path(sys.argv[1]).exists() and embedded.stop(Path(sys.argv[1])):
    print("stopped an embedded server that was left running")
