"""Media time to local time, rings, and the windows that the model scores."""
