"""What a box has learned of its site: parts on disk, kept in numbered versions with a way back."""

from edge.profile.folder import ProfileFolder, ProfileVersion
from edge.profile.part import ProfilePart, load_part, save_part

__all__ = ["ProfileFolder", "ProfilePart", "ProfileVersion", "load_part", "save_part"]
