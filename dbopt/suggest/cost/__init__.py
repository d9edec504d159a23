"""What a statement would cost with indexes that are not there."""
