"""Job specs: frozen, checked, the same as JSON and as command line flags. Standard library only."""
