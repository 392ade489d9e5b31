"""`edge train evaluate`: one report over a folder of real recordings, run through the same pipeline as service.

Sets outside the tier `open` are only measured here: nothing is trained, chosen or calibrated on them.
"""
