"""The local page and its API: live picture and sound, events, zones, thresholds and health.

`backend` is the interface to the running node, `app` the application, `serve` the server with its thread.
"""
