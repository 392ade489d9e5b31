"""Commands without a folder of their own. Each module has `register(subparsers)` and imports heavy modules when it
runs."""
