"""`python -m reverie`, the same as `reverie`."""

import sys

from reverie.cli import main

sys.exit(main())
