"""Tests: unit and Spark tests in the folders of the package, end-to-end runs in their own folder."""
