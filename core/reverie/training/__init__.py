"""How the embedded network is made: data, training, measures. `python -m reverie.training` runs it.

Nothing here is needed to dream.
"""
