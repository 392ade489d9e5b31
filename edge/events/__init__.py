"""`edge events`: search, list, mark, export and summarise kept events."""
