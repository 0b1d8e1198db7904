"""Every optimiser and space on the same models, items and budget, against random search and the landmarks."""
