"""Where incidents are shown. Each vendor is known to one file."""
