"""What a user's own model asks for, found by building it."""
