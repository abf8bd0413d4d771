"""Find a model folder, check it and read its files, before anything is loaded."""
