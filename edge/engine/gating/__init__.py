"""Which parts need not run: nothing new is seen or heard."""
