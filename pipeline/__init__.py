"""What runs, in which order, and what the user sees. Imports nothing heavy."""
