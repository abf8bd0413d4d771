"""Read and write tables: formats, atomic writes, columns, metadata, row counts."""
