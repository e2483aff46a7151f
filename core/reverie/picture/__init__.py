"""Picture files <-> numpy arrays, with depth, transparency, profile, EXIF and recipe kept."""

from __future__ import annotations

from .decode import MAX_PIXELS
from .files import find_pictures, free_name
from .read import Picture, read_picture, read_record
from .write import check_output, write_picture

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
