"""What a run says: records of its debates, and numbers with their uncertainty."""
