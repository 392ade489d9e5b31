"""The commands that are not a folder of their own. Each module has `register(subparsers)`; what does the work is
imported when it is called."""
