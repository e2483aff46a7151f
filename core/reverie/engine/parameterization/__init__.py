"""The spaces in which a picture climbs: one small file for each."""

from reverie.engine.parameterization.fourier import FOURIER
from reverie.engine.parameterization.phase import MACO, PHASE
from reverie.engine.parameterization.pixels import PIXELS

BUILT_IN = (PIXELS, FOURIER, PHASE, MACO)

__all__ = ["BUILT_IN", "FOURIER", "MACO", "PHASE", "PIXELS"]
