"""The stages of training, from starting weights to an engine folder."""
