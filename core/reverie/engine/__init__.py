"""The engine: gradient ascent on a picture, with a frozen network."""
