"""The store of events, its search, the score traces, and what is thrown away in time."""
