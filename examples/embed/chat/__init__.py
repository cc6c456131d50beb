"""The shop's own app of this name: orders, and an old chat."""
