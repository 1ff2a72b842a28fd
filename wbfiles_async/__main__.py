"""``python -m wbfiles_async``: the same as ``wbfiles``."""

import sys

from wbfiles_async._cli import main

sys.exit(main())
