"""How much a path carries."""
