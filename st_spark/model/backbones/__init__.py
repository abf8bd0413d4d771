"""Forward passes of the encoders, without padding where the architecture is known."""
