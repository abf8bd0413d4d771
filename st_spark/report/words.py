"""What the counts of a result are called for people."""

ROW_COUNTS = {
    "null": "without a text",
    "empty": "blank",
    "truncated": "truncated",
    "corrupt": "corrupt (skipped)",
    "undecodable": "with undecodable characters (see --input-encoding)",
    "zero": "zero vectors",
    "nan": "vectors with NaN or infinity",
    "unreadable": "unreadable images (no vector)",
    "undecided": "without a label (a vector of zeros, or with NaN or infinity)",
    "null_id": "without an ID",
    "duplicate_id": "with a duplicate ID",
    "resumed": "with the vector of an earlier, killed run",
    "new": "new",
    "changed": "with another text",
    "updated": "with other values in other columns",
    "unchanged": "unchanged",
    "missing": "no longer in the input (kept)",
    "deleted": "no longer in the input (deleted)",
    "dropped": "no longer part of their text (deleted)",
}
