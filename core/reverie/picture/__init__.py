"""Picture files <-> numpy arrays, with depth, transparency, profile, EXIF and recipe kept."""

from __future__ import annotations

from reverie.picture.decode import MAX_PIXELS
from reverie.picture.files import find_pictures, free_name
from reverie.picture.read import Picture, read_picture, read_record
from reverie.picture.write import check_output, write_picture

__all__ = [
    "MAX_PIXELS",
    "Picture",
    "check_output",
    "find_pictures",
    "free_name",
    "read_picture",
    "read_record",
    "write_picture",
]
