"""Forward passes of the encoders."""
