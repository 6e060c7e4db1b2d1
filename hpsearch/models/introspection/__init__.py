"""What a custom model asks for, found by building it."""
