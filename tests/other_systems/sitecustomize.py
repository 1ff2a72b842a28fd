"""Python imports this at its start if this folder is in PYTHONPATH; so children of tests are as Windows too."""

import stand_in

stand_in.install()
