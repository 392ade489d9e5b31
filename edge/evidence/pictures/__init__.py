"""Pictures of events, what is drawn onto them, and what must not be in them."""
