"""The pictures themselves, bytes in and bytes out: Validate examines and plans, Resize renders, Caption wants a JPEG.

Pillow lives here and nowhere else. In the order of a picture's way: `formats` recognises and opens it (`tags` reads
what is written about it; `jpeg`, `png`, `gif`, `webp` and `isobmff` how it is put together; `tiff`, `bmp`, `avif` and
`jxl` take the place of Pillow's own readers and of a plugin's), `examine` decodes it once and gives the verdict, with
its `placeholder` and its `metadata`, `plan` says what to make, `render` makes it, and `color` sees to it that every
screen shows the same (`code_points` knows colours that a file only names).
"""

from functions.imaging.crop import focal_point
from functions.imaging.errors import RejectCode, Rejected
from functions.imaging.examine import Facts, Limits, examine
from functions.imaging.formats import OPTIONAL
from functions.imaging.plan import PlannedRendition, RenditionSetting, plan
from functions.imaging.render import Rendered, Target, for_caption, render

__all__ = [
    "OPTIONAL",
    "Facts",
    "Limits",
    "PlannedRendition",
    "RejectCode",
    "Rejected",
    "Rendered",
    "RenditionSetting",
    "Target",
    "examine",
    "focal_point",
    "for_caption",
    "plan",
    "render",
]
