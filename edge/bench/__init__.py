"""`edge bench`: how many cameras this box holds, where the time goes, and how far that is from the machine's limit."""
