"""Made fires and what is taken for them."""
