"""The store of events, its search, the score traces, and retention."""
