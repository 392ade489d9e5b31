"""The local page and its API: what the box sees and hears, its events, zones, thresholds and health.

`box` is what the page needs of a running node, `app` the application, `serve` the server beside the node's threads.
"""
