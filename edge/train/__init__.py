"""The torch side: network, data, training, calibration, export, evaluation.

Owns everything that needs torch. Importing this package loads none of it: each module is imported by
the command that uses it. Runs on the caller's thread, never inside the daemon.
"""
