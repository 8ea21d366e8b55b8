"""Text in, labelled rows out; opens no image."""
