"""`edge learn normal`: what a place is like when nothing is wrong."""
