"""What researchers replace: how much a path carries, who gets which layer of it, and who speaks. docs/policies.md."""
