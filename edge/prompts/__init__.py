"""Events described in words: text to what the model knows and to what it hears and sees."""
