"""From the packets of a camera to the clip of an event."""
