"""What a box has learned of its site: parts on disk, kept in numbered versions with a way back."""

from edge.profile.folder import ProfileFolder, Version
from edge.profile.part import Part, load_part, save_part

__all__ = ["Part", "ProfileFolder", "Version", "load_part", "save_part"]
