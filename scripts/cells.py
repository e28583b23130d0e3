"""Ask what the pipeline `cells` published, look after it, serve it: see `cells.py -h`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from tessera.cells.commands import main

if __name__ == "__main__":
    sys.exit(main())
