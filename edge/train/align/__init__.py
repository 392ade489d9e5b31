"""The space that text, sound and picture share, and what prompts need of it."""
