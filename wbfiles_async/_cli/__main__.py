"""``python -m wbfiles_async._cli``: the same as ``wbfiles``."""

import sys

from wbfiles_async._cli import main

sys.exit(main())
