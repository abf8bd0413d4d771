"""Jobs as data: checked fields, JSON, command line flags. Standard library only."""
