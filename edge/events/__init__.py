"""Kept events for people: found by a sentence, listed, marked, exported, summed up."""
