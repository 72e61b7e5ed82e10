"""Suffixes of files that may be videos."""

_KNOWN = """
.264 .265 .3g2 .3gp .asf .avi .divx .dv .f4v .flv .gif .h264 .h265 .hevc .ivf .m1v .m2ts .m2v .m4v
.mjpeg .mjpg .mkv .mov .mp4 .mpe .mpeg .mpg .mts .mxf .nut .ogg .ogm .ogv .rm .rmvb .ts .vob .webm
.wmv .y4m
"""
VIDEO_SUFFIXES = frozenset(_KNOWN.split())
