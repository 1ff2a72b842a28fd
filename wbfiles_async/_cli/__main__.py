"""``python -m wbfiles_async._cli``: the older name of ``python -m wbfiles_async``, which scripts still call."""

import sys

from wbfiles_async._cli import main

sys.exit(main())
