"""One report over a folder of real recordings, run through the same pipeline as service: `edge learn evaluate`.

Sets outside the tier `open` are only ever measured here; nothing is trained, chosen or calibrated on them.
"""
