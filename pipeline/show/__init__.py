"""Plans, answers and figures as text."""
