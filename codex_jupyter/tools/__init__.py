"""What a turn may do, and who has to agree."""
