"""Python imports this at startup if this folder is in PYTHONPATH, so child processes simulate Windows too."""

import stand_in

stand_in.install()
