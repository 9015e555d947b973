"""The suite from a command line: `python tests/lock_suite --endpoint URL`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lock_suite.command import main  # noqa: E402

sys.exit(main())
