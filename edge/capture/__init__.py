"""Sources: cameras, microphones and sensors become typed items; one file a kind."""
