"""Events become messages, wait in an outbox on disk, and reach the broker."""
