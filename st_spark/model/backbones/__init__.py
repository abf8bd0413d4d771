"""Forward passes of the encoders, without padding for the known architectures."""
