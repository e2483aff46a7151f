"""`python -m reverie.training`."""

from __future__ import annotations

from reverie.training.making import main

# Not in making.py: processes that train together import it anew; a package's __main__ they cannot.
if __name__ == "__main__":
    main()
