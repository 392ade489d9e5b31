"""The networks: encoders, heads, and the whole of them."""
