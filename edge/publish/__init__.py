"""Events as messages: built, kept in an outbox on disk, and sent to the broker."""
