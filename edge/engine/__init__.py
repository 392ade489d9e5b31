"""The model: its manifest, the runtimes that execute it, their selection and self-test."""
