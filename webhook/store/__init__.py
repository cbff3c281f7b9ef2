"""What is remembered: incidents, what was told of them, and the messages themselves."""
