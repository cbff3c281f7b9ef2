"""What comes in, what is remembered and what is shown."""
