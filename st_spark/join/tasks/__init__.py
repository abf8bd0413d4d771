"""What one task of a join does: Arrow in, Arrow out. Never imports Spark."""
