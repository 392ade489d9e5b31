"""Sources: cameras, microphones and sensors as streams of typed items; one module for each kind."""
