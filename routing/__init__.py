"""What should happen, and making it so: from incidents in the store to what people see."""
