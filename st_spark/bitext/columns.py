"""Names of columns while neighbours become pairs."""

# A neighbour: whether it is one of the source row's nearest (else of the target row's), both ids, and the cosine.
FORWARD, SOURCE, TARGET, COSINE = "_forward", "source_id", "target_id", "cosine"
# A pair: which of the source row's nearest the target row is, and the other way round (null for none of the k), and
# why it counts for the means alone (null for most).
FORWARD_RANK, BACKWARD_RANK, REFUSED = "forward_rank", "backward_rank", "_refused"
SCORE, DIRECTION = "score", "direction"
# What a side has beside shuffle.ID and VECTOR.
TEXT, LANGUAGE = "_text", "_language"
