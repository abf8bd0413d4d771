"""Read and write tables: columns, metadata, atomic writes."""
