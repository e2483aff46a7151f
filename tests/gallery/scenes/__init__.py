"""Render the sample pictures that reverie ships: every pixel is computed here from a seed.

Clouds and trees are lit voxel volumes, mountains are height fields seen column by column, and
all roughness is 1/f noise, because a dream grows best from structure at every scale.  Nothing is
downloaded and nothing is a photograph; this package does not dream.  It takes about a minute:

    cd tests/gallery && python -m scenes OUTDIR [sky mountains night garden]

To read it, begin with a scene; each says what it is made of:

    sky        clouds over hills, trees and water
    mountains  land seen through a view, under cirrus clouds
    night      land, flooded by water, under a night_sky
    garden     pebbles, leaves and flowers on a bed

Under them lie volume (what clouds and trees are), horizon (the planes of sky and water), light,
noise and arrays.
"""
