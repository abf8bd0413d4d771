"""Tests of bitext mining."""
