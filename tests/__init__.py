"""Tests: one module per room of the package, end-to-end runs in their own folder."""
